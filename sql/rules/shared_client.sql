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
        target_id as thing_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_rows($since, $until)
    where target_kind = 'client'
    group by source_id, target_id
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
        seen.events / active.events as share,
        -- One account speaks for each customer.
        row_number() over (
            partition by seen.thing_id, active.customer
            order by seen.account_id
        ) = 1 as speaks
    from seen
    inner join active on seen.account_id = active.account_id
    where seen.events >= $min_share * active.events
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

alike as (
    -- Of what is the crowd's own: how many of its customers have it.
    select *
    from crowd_traits(
        (
            select list(struct_pack(kind := 'client', thing_id := member.thing_id, account_id := member.account_id))
            from member
            inner join crowd on member.thing_id = crowd.thing_id
            where member.speaks
        ),
        $since,
        $until,
        $own_share
    )
),

facets as (
    select
        crowd.*,
        coalesce(alike.network / crowd.customers, 0) as network,
        coalesce(alike.payment / crowd.customers, 0) as payment,
        coalesce(alike.email / crowd.customers, 0) as email,
        crowd.young / nullif(crowd.known_age, 0) as young_share,
        (everyone.young - crowd.young + 1) / (everyone.known_age - crowd.known_age + 2) as base_young,
        -- A crowd that is nearly everybody has everything to itself: that says nothing.
        1 - crowd.accounts / everyone.accounts as apart
    from crowd
    cross join everyone
    left join alike on crowd.thing_id = alike.thing_id
),

judged as (
    select
        *,
        crowd_log_odds(
            $prior,
            -- The launch of a tool explains newcomers who try it about equally often, however many they are.
            $explained,
            customers,
            $min_accounts,
            young_share,
            base_young,
            spread,
            mean_events,
            0,
            0,
            apart,
            payment,
            email,
            network
        ) as log_odds
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
        '{} accounts of {} customers use one client that hardly anybody else has, {:.0f} requests each on average.{}',
        judged.accounts,
        judged.customers,
        judged.mean_events,
        crowd_story(judged.young_share, $young_days, judged.base_young, 0, judged.payment, judged.email, judged.network)
    ) as group_reason,
    member.first_seen,
    member.last_seen
from member
inner join judged on member.thing_id = judged.thing_id
where $cap / (1 + exp(-judged.log_odds)) >= $min_strength
