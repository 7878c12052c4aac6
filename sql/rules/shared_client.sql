-- Which accounts come through one client that hardly anybody else has, and are alike otherwise too? Needs no text.
with
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

member as (
    select
        seen.*,
        seen.events / active.events as share
    from seen
    inner join active_accounts($since, $until) as active on seen.account_id = active.account_id
    where seen.events >= $min_share * active.events
    qualify count(*) over (partition by seen.thing_id) >= $min_accounts
),

crowd as (
    select *
    from
        crowds(
            (
                select
                    list(
                        struct_pack(
                            kind := 'client',
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
    where accounts <= $max_population_share * all_accounts
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
    from crowd
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
