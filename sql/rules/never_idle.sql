-- Who asks round the clock, hour after hour about as much, while those who ask as much have nights?
with
by_hour as (
    select
        account_id,
        window_start,
        sum(events)::bigint as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from account_rows($since, $until)
    group by account_id, window_start
),

seen as (
    -- The first and the last hour are filled in part only: they are taken out.
    select
        account_id,
        date_diff('hour', min(window_start), max(window_start)) - 1 as hours,
        sum(events)::bigint as events,
        (sum(events) - arg_min(events, window_start) - arg_max(events, window_start))::double as inner_events,
        sum(events::double * events)
        - arg_min(events, window_start)::double ** 2
        - arg_max(events, window_start)::double ** 2 as inner_sq,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from by_hour
    group by account_id
    having count(*) > 2
),

lasting as (
    -- How much hours differ beyond chance: the variance of independent requests is their mean. Relative to the mean
    -- squared it does not depend on how many there are: 0 where every hour is alike, 0.34 and more where people sleep.
    select
        *,
        inner_events / hours as per_hour,
        coalesce(
            ((inner_sq - inner_events ** 2 / hours) / (hours - 1) - inner_events / hours)
            / nullif((inner_events / hours) ** 2, 0),
            'infinity'
        ) as unevenness
    from seen
    where hours >= $min_hours
),

placed as (
    select *
    from
        peers(
            (
                select
                    list(
                        struct_pack(
                            kind := 'account',
                            entity_id := lasting.account_id,
                            events := lasting.events,
                            value := -lasting.unevenness,
                            newcomer := accounts.created_at > $since::timestamptz - to_days($young_days::integer)
                        )
                    )
                from lasting
                left join accounts on lasting.account_id = accounts.account_id
            ),
            $min_peers
        )
),

even as (
    select
        lasting.*,
        placed.* exclude (kind, entity_id, value, far_chance, usual),
        rarity(placed.chance, $noticed, $rare) as rarity
    from placed
    inner join lasting on placed.entity_id = lasting.account_id
    where lasting.unevenness <= $max_unevenness and lasting.per_hour >= $min_per_hour
),

idle as (
    select
        account_id,
        max(hours) as longest_idle
    from (
        select
            by_hour.account_id,
            date_diff(
                'hour',
                lag(by_hour.window_start) over (partition by by_hour.account_id order by by_hour.window_start),
                by_hour.window_start
            )
            - 1 as hours
        from by_hour
        inner join even on by_hour.account_id = even.account_id
    ) as between_hours
    group by account_id
),

candidate as (
    select
        even.*,
        idle.longest_idle
    from even
    inner join idle on even.account_id = idle.account_id
    where idle.longest_idle <= $max_idle_hours
),

asked as (
    -- A monitor asks the same few things. Where no hash of a prompt arrives, it cannot be told apart.
    select
        candidate.account_id,
        sketch_distinct(sketch_merge(flatten(list(prints.prompt_sketch)))) as prompts
    from candidate
    inner join account_rows($since, $until) as prints on candidate.account_id = prints.account_id
    group by candidate.account_id
)

select
    'account' as dimension,
    candidate.account_id as entity_id,
    candidate.account_id,
    'account:' || candidate.account_id as group_key,
    $cap * candidate.rarity as strength,
    format(
        'It asked round the clock, {:.1f} requests an hour over {} hours, {}. It was more even from hour to hour {}.',
        candidate.per_hour,
        candidate.hours + 2,
        if(
            candidate.longest_idle = 0,
            'in each of them',
            format('without a pause of more than {} whole hours', candidate.longest_idle)
        ),
        peers_story(
            candidate.as_high, candidate.others, candidate.least_events, candidate.most_events, 'accounts'
        )
    ) as reason,
    candidate.first_seen,
    candidate.last_seen
from candidate
inner join asked on candidate.account_id = asked.account_id
where
    candidate.rarity > 0
    and (asked.prompts = 0 or asked.prompts >= $min_different * candidate.events)
