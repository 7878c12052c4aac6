-- Which accounts come through one client that hardly anybody else has, and are alike otherwise too? Needs no text.
with
active as (
    select
        *,
        created_at > first_seen - to_days($young_days::integer) as young
    from active_accounts($since, $until)
),

seen as (
    select
        source_id as account_id,
        target_kind as kind,
        target_id as thing_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and source_kind = 'account'
        and target_kind in ('client', 'network')
    group by all
),

everyone as (
    select
        count(*) as accounts,
        count(*) filter (where young) as young,
        count(young) as known_age
    from active
),

member as (
    select
        seen.*,
        active.young,
        active.payment_hash,
        active.email_domain,
        seen.events / active.events as share,
        -- One account speaks for each customer.
        row_number() over (
            partition by seen.thing_id, active.customer
            order by seen.account_id
        ) = 1 as speaks
    from seen
    inner join active on seen.account_id = active.account_id
    where seen.kind = 'client' and seen.events >= $min_share * active.events
    qualify count(*) over (partition by seen.thing_id) >= $min_accounts
),

crowd as (
    select
        thing_id,
        count(*) as accounts,
        count(*) filter (where speaks) as customers,
        avg(events) filter (where speaks) as mean_events,
        coalesce(stddev_samp(events) filter (where speaks) / avg(events) filter (where speaks), 0) as spread,
        count(*) filter (where speaks and young) as young,
        count(young) filter (where speaks) as known_age
    from member
    group by thing_id
    having
        count(*) filter (where speaks) >= $min_accounts
        and count(*) <= $max_population_share * (select everyone.accounts from everyone)
),

common as (
    -- Payments, email domains and networks that at least three of the crowd share and hardly anybody outside it has.
    -- The largest place of each kind may be a school or a company, with all its networks: a pool spreads over several.
    select
        things.thing_id,
        things.trait_kind,
        things.largest,
        unnest(things.holders) as account_id
    from (
        select
            *,
            place = first_value(place) over (
                partition by thing_id, trait_kind
                order by in_place desc, place asc
            ) as largest
        from (
            select
                *,
                sum(len(holders)) over (partition by thing_id, trait_kind, place) as in_place
            from (
                select
                    member.thing_id,
                    traits.trait_kind,
                    traits.trait_id,
                    if(traits.trait_kind = 'network', network_place(traits.trait_id), traits.trait_id) as place,
                    list(distinct member.account_id) as holders
                from member
                inner join crowd on member.thing_id = crowd.thing_id
                inner join (
                    select
                        account_id,
                        'payment' as trait_kind,
                        payment_hash as trait_id
                    from active
                    where payment_hash is not null
                    union all
                    select
                        account_id,
                        'email domain' as trait_kind,
                        email_domain as trait_id
                    from active
                    where email_domain is not null
                    union all
                    select
                        account_id,
                        kind as trait_kind,
                        thing_id as trait_id
                    from seen
                    where kind = 'network'
                ) as traits on member.account_id = traits.account_id
                inner join (
                    select
                        'payment' as trait_kind,
                        payment_hash as trait_id,
                        count(*) as accounts
                    from active
                    where payment_hash is not null
                    group by payment_hash
                    union all
                    select
                        'email domain' as trait_kind,
                        email_domain as trait_id,
                        count(*) as accounts
                    from active
                    where email_domain is not null
                    group by email_domain
                    union all
                    select
                        kind as trait_kind,
                        thing_id as trait_id,
                        count(*) as accounts
                    from seen
                    where kind = 'network'
                    group by kind, thing_id
                ) as totals on traits.trait_kind = totals.trait_kind and traits.trait_id = totals.trait_id
                where member.speaks
                group by member.thing_id, traits.trait_kind, traits.trait_id
                having
                    count(distinct member.account_id) >= 3
                    and count(distinct member.account_id) >= $own_share * any_value(totals.accounts)
            ) as own
        ) as by_place
    ) as things
),

alike as (
    select
        thing_id,
        count(distinct account_id) filter (where trait_kind = 'network' and not largest) as network,
        count(distinct account_id) filter (where trait_kind = 'payment' and not largest) as payment,
        count(distinct account_id) filter (where trait_kind = 'email domain' and not largest) as email
    from common
    group by thing_id
),

facets as (
    select
        crowd.*,
        coalesce(alike.network / crowd.customers, 0) as network,
        coalesce(alike.payment / crowd.customers, 0) as payment,
        coalesce(alike.email / crowd.customers, 0) as email,
        crowd.young / nullif(crowd.known_age, 0) as young_share,
        (everyone.young - crowd.young + 1) / (everyone.known_age - crowd.known_age + 2) as base_young
    from crowd
    cross join everyone
    left join alike on crowd.thing_id = alike.thing_id
),

judged as (
    select
        *,
        $prior
        -- The launch of a tool explains newcomers who try it about equally often, however many they are.
        + least(
            $explained,
            3.0 * least(1, 2 * coalesce(greatest(0, young_share - base_young), 0))
            + 1.5 * greatest(0, 1 - spread) * least(1, greatest(0, (mean_events - 1) / 2))
            + least(1, ln(customers / $min_accounts) / 3)
        )
        + 2.5 * least(1, 2 * payment)
        + 2.5 * least(1, 2 * email)
        + 2.0 * least(1, 2 * network) as log_odds
    from facets
)

select
    'account' as dimension,
    member.account_id as entity_id,
    member.account_id,
    'client:' || member.thing_id as group_key,
    $cap * member.share * member.events / (member.events + 0.1) / (1 + exp(-judged.log_odds)) as strength,
    format(
        '{} of its requests come through one client, which {} accounts use and hardly anybody else.',
        if(
            member.share = 1,
            format('All {}', member.events),
            format('{} of {}', member.events, (member.events / member.share)::bigint)
        ),
        judged.accounts
    ) as reason,
    format(
        '{} accounts of {} customers use one client that hardly anybody else has, {:.0f} requests each on average.{}{}',
        judged.accounts,
        judged.customers,
        judged.mean_events,
        coalesce(
            format(
                ' {:.0f} % of them were younger than {:.0f} days, of the other accounts {:.0f} %.',
                100 * judged.young_share,
                $young_days,
                100 * judged.base_young
            ),
            ''
        ),
        coalesce(
            ' They share with each other and hardly anybody else: ' || nullif(
                concat_ws(
                    ', ',
                    if(judged.payment > 0, format('payments ({:.0f} %)', 100 * judged.payment), null),
                    if(judged.email > 0, format('mail domains ({:.0f} %)', 100 * judged.email), null),
                    if(judged.network > 0, format('networks ({:.0f} %)', 100 * judged.network), null)
                ),
                ''
            ) || '.',
            ''
        )
    ) as group_reason,
    member.first_seen,
    member.last_seen
from member
inner join judged on member.thing_id = judged.thing_id
where $cap / (1 + exp(-judged.log_odds)) >= $min_strength
