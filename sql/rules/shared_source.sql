-- Whose prompts are drawn from one unusual source, as the parts of one data set are, among accounts that are alike?
with
active as (
    select
        *,
        created_at > first_seen - to_days($young_days::integer) as young
    from active_accounts($since, $until)
),

everyone as (
    select count(*) as accounts
    from active
),

manner as (
    -- How it asks, whatever it asks.
    select
        account_id,
        sum(single_turn) / sum(events) as single,
        sum(tool_events) / sum(events) as tools,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from account_rows($since, $until)
    group by account_id
),

asking as (
    select
        said.account_id,
        said.events::double as events,
        said.prompt_sum::double[] as vector,
        list_dot_product(said.prompt_sum::double[], said.prompt_sum::double[]) as product,
        active.young,
        active.customer,
        manner.single,
        manner.tools
    from account_distributions($since, $until) as said
    inner join active on said.account_id = active.account_id
    inner join manner on said.account_id = manner.account_id
    where said.events >= $min_prompts
),

total as (
    select
        vector,
        list_dot_product(vector, vector) as product,
        events
    from (
        select
            distribution_sum(vector)::double[] as vector,
            sum(events) as events
        from asking
    ) as added
),

asker as (
    select
        asking.*,
        distribution_within(asking.product, asking.events) as within,
        list_dot_product(asking.vector, total.vector) as with_total
    from asking
    cross join total
),

thing as (
    -- What few have: a client, a payment, a mail domain.
    select
        source_id as account_id,
        target_kind as kind,
        target_id as thing_id
    from link_rows($since, $until)
    where target_kind = 'client'
    group by source_id, target_kind, target_id
    union all
    select
        account_id,
        'payment' as kind,
        payment_hash as thing_id
    from active
    where payment_hash is not null
    union all
    select
        account_id,
        'email domain' as kind,
        email_domain as thing_id
    from active
    where email_domain is not null
),

rare as (
    select
        thing.kind,
        thing.thing_id
    from thing
    inner join active on thing.account_id = active.account_id
    group by thing.kind, thing.thing_id
    having
        count(*) >= $min_holders
        and count(*) <= $max_population_share * (select everyone.accounts from everyone)
),

few as materialized (
    -- Before vectors are joined, which take longer to carry than anything else.
    select thing.*
    from rare
    inner join thing on rare.kind = thing.kind and rare.thing_id = thing.thing_id
),

held as (
    select
        few.kind,
        few.thing_id,
        asker.*
    from few
    inner join asker on few.account_id = asker.account_id
),

added as (
    -- What the holders of a thing ask, and how.
    select
        kind,
        thing_id,
        distribution_sum(vector)::double[] as vector,
        sum(events) as events,
        sum(with_total) as with_total,
        median(events) as usual_events,
        median(single) as usual_single,
        median(tools) as usual_tools
    from held
    group by kind, thing_id
    having count(distinct customer) >= $min_holders
),

candidate as (
    select
        added.*,
        list_dot_product(added.vector, added.vector) as product,
        total.product as total_product,
        total.events as total_events
    from added
    cross join total
    where total.events >= added.events + 2
),

source as (
    -- Things whose holders ask as if from one source, which is not what others ask.
    select
        kind,
        thing_id,
        row_number() over (order by count(*) desc, kind asc, thing_id asc) as number
    from (
        select
            kind,
            thing_id,
            distribution_errors_apart(
                own_product, own_events, product - 2 * with_source + own_product, events - own_events,
                with_source - own_product
            ) as from_others_of_it,
            distribution_errors_apart(
                own_product, own_events, total_product - 2 * with_total + product, total_events - events,
                own_with_total - with_source
            ) as from_others
        from (
            select
                candidate.* exclude (vector),
                held.product as own_product,
                held.events as own_events,
                held.with_total as own_with_total,
                list_dot_product(held.vector, candidate.vector) as with_source
            from candidate
            inner join held on candidate.kind = held.kind and candidate.thing_id = held.thing_id
        ) as products
    ) as distances
    group by kind, thing_id
    having median(from_others_of_it) <= $alike / 2 and median(from_others - from_others_of_it) >= $apart
    qualify number <= $max_sources
),

measured as (
    select
        source.number,
        candidate.product as source_product,
        candidate.events as source_events,
        distribution_within(candidate.product, candidate.events) as source_within,
        candidate.total_product - 2 * candidate.with_total + candidate.product as others_product,
        candidate.total_events - candidate.events as others_events,
        asker.* exclude (vector, customer, single, tools, sources),
        list_dot_product(asker.vector, candidate.vector) as with_source,
        coalesce(list_contains(asker.sources, source.number), false) as holds
    from source
    inner join candidate on source.kind = candidate.kind and source.thing_id = candidate.thing_id
    -- Who asks as the holders do: about as many, with or without tools, in conversations or not.
    inner join (
        select
            asker.*,
            holder.sources
        from asker
        left join (
            select
                held.account_id,
                list(source.number) as sources
            from held
            inner join source on held.kind = source.kind and held.thing_id = source.thing_id
            group by held.account_id
        ) as holder on asker.account_id = holder.account_id
        -- A dozen prompts may come near a source by chance: of who has nothing else in common more have to say so.
        where asker.events >= $min_prompts_alone or holder.sources is not null
    ) as asker
        on
            asker.events between candidate.usual_events / $volumes and candidate.usual_events * $volumes
            and abs(asker.single - candidate.usual_single) <= 0.25
            and abs(asker.tools - candidate.usual_tools) <= 0.25
    where holds or asker.events >= $min_prompts_alone
),

near as (
    -- How far each is from the source and from what all others ask, itself taken out; in standard errors.
    select
        number,
        account_id,
        events,
        young,
        holds,
        if(
            holds,
            distribution_errors_apart(
                product,
                events,
                source_product - 2 * with_source + product,
                source_events - events,
                with_source - product
            ),
            distribution_errors_between(within, events, source_within, source_events, with_source)
        ) as from_source,
        -- Of most the first says enough.
        case
            when holds and from_source <= $alike
                then distribution_errors_apart(product, events, others_product, others_events, with_others)
            when from_source <= $alike
                then distribution_errors_apart(
                    product,
                    events,
                    others_product - 2 * with_others + product,
                    others_events - events,
                    with_others - product
                )
        end as from_others
    from (
        select
            *,
            with_total - with_source as with_others
        from measured
    ) as products
),

told_apart as (
    select
        *,
        from_source <= $alike and (holds or from_others - from_source >= $apart) as of_source
    from near
),

unbound as (
    -- Those who have nothing of what the source was found by and ask as its holders do, by age; and how many of them
    -- ask the same.
    select
        number,
        count(*) filter (where young) as young,
        count(*) filter (where young and of_source) as young_of_source,
        count(*) filter (where not young) as old,
        count(*) filter (where not young and of_source) as old_of_source
    from told_apart
    where not holds
    group by number
),

member as (
    select
        source.kind,
        source.thing_id,
        told_apart.*,
        active.customer
    from told_apart
    inner join source on told_apart.number = source.number
    inner join active on told_apart.account_id = active.account_id
    where told_apart.of_source
),

crowd as (
    select *
    from crowds(
        (
            select
                list(
                    struct_pack(
                        kind := member.kind,
                        thing_id := member.thing_id,
                        account_id := member.account_id,
                        events := member.events,
                        asking := 0.0
                    )
                )
            from member
        ),
        $since,
        $until,
        $young_days,
        $own_share,
        $min_accounts
    )
),

judged as (
    select
        *,
        crowd_log_odds(
            $prior,
            -- What newcomers have in common who try one tool for one purpose names nobody.
            $explained,
            customers,
            $min_accounts,
            young_share,
            base_young,
            spread,
            mean_events,
            client,
            0,
            apart,
            payment,
            email,
            network
        ) as log_odds
    from crowd
),

called as (
    -- A pool's client, payments and mail domains lead to nearly the same accounts: one crowd, under one name.
    select
        both_of.kind,
        both_of.thing_id,
        arg_min(other.kind || ' ' || other.thing_id, { 'kind': other.kind, 'id': other.thing_id }) as name
    from (
        select
            one.kind,
            one.thing_id,
            another.kind as other_kind,
            another.thing_id as other_id,
            count(*) as accounts
        from member as one
        inner join member as another on one.account_id = another.account_id
        group by one.kind, one.thing_id, another.kind, another.thing_id
    ) as both_of
    inner join judged as this on both_of.kind = this.kind and both_of.thing_id = this.thing_id
    inner join judged as other on both_of.other_kind = other.kind and both_of.other_id = other.thing_id
    where both_of.accounts > 0.5 * greatest(this.accounts, other.accounts)
    group by both_of.kind, both_of.thing_id
),

recruited as (
    -- What share of a crowd's recruits are of it. In a crowd of one age those of the other ask the same by chance; as
    -- large a share of its own age would.
    select
        kind,
        thing_id,
        is_young,
        1 - least(1, (own - own_of_source) * by_chance / (1 - by_chance) / own_of_source) as share
    from (
        select
            *,
            (other_of_source + 1) / (other + 2) as by_chance
        from (
            select
                judged.kind,
                judged.thing_id,
                judged.young_share >= 1 - $other_age as is_young,
                if(is_young, unbound.young, unbound.old) as own,
                if(is_young, unbound.young_of_source, unbound.old_of_source) as own_of_source,
                if(is_young, unbound.old, unbound.young) as other,
                if(is_young, unbound.old_of_source, unbound.young_of_source) as other_of_source
            from judged
            inner join source on judged.kind = source.kind and judged.thing_id = source.thing_id
            inner join unbound on source.number = unbound.number
            where judged.young_share >= 1 - $other_age or judged.young_share <= $other_age
        ) as by_age
        where own_of_source > 0 and other >= $min_unlike
    ) as chances
),

bound as (
    select
        kind,
        thing_id,
        unnest(bound) as customer
    from judged
),

seen as (
    select distinct account_id
    from member
    where holds
),

weighed as (
    select
        member.*,
        judged.accounts,
        judged.customers,
        judged.mean_events,
        judged.young_share,
        judged.base_young,
        judged.client,
        judged.payment,
        judged.email,
        judged.network,
        judged.log_odds,
        case
            -- The largest place does not count, but where some of its holders have what counts it is the crowd's too.
            when
                member.holds
                and (
                    bound.customer is not null
                    or count(bound.customer) over (partition by member.kind, member.thing_id, member.holds)
                    >= greatest(
                        2, 0.1 * count(*) over (partition by member.kind, member.thing_id, member.holds)
                    )
                )
                then 1
            -- Who has nothing in common with anybody but what he asks: others ask the same.
            when seen.account_id is null and recruited.share is not null then least($recruited, recruited.share)
            -- Who has a source of his own is of another crowd, a class for one, that may ask the same.
            else $alone
        end as weight
    from member
    inner join judged on member.kind = judged.kind and member.thing_id = judged.thing_id
    left join recruited
        on
            member.kind = recruited.kind
            and member.thing_id = recruited.thing_id
            and member.young = recruited.is_young
    left join bound
        on
            member.kind = bound.kind
            and member.thing_id = bound.thing_id
            and member.customer = bound.customer
    left join seen on member.account_id = seen.account_id
),

heard as (
    select
        *,
        max(log_odds) over (partition by account_id, holds) as best,
        max(weight) over (partition by account_id, holds) as most
    from weighed
    where
        weight / (1 + exp(-log_odds)) >= $min_strength
        -- In a crowd of one age whoever is of another came there by chance.
        and coalesce(if(young, young_share, 1 - young_share) >= $other_age, true)
),

spoken as (
    -- A pool's client, payments and mail domains lead to one crowd. An account speaks through one, always the same.
    select *
    from heard
    where log_odds >= best - 0.3 and weight >= most - 0.02
    qualify row_number() over (partition by account_id order by holds desc, kind asc, thing_id asc) = 1
)

select
    'account' as dimension,
    spoken.account_id as entity_id,
    spoken.account_id,
    'source:' || called.name as group_key,
    weight / (1 + exp(-log_odds)) as strength,
    format(
        'Its {:.0f} prompts are {:.1f} standard errors of chance away from those of {} other accounts, as if all came '
        || 'from one source, and {:.1f} from what others ask.',
        events,
        greatest(0, from_source),
        accounts - 1,
        from_others
    ) as reason,
    format(
        'The prompts of {} accounts of {} customers, {:.0f} each on average, are as if drawn from one unusual '
        || 'source.{}',
        accounts,
        customers,
        mean_events,
        crowd_story(young_share, $young_days, base_young, client, payment, email, network)
    ) as group_reason,
    manner.first_seen,
    manner.last_seen
from spoken
inner join manner on spoken.account_id = manner.account_id
inner join called on spoken.kind = called.kind and spoken.thing_id = called.thing_id
