-- Has nothing come for a while, at an hour at which there always was something?
with
counted as (
    -- The tables behind fingerprints_1h: nobody needs each account's hours of a week each minute.
    select
        date_trunc('hour', window_start) as window_start,
        sum(events) as events,
        max(last_seen) as last_seen
    from (
        select
            window_start,
            events,
            last_seen
        from hour
        where kind = 'account' and window_start >= $now::timestamptz - interval 8 days
        union all
        select
            pane as window_start,
            events,
            last_seen
        from pane_delta
        where kind = 'account' and pane >= $now::timestamptz - interval 8 days
    ) as rows_of_both
    where window_start <= $now::timestamptz
    group by date_trunc('hour', window_start)
),

last_event as (
    select
        max(last_seen) as at,
        min(window_start) as begun
    from counted
),

day as (
    -- The hours of other days, before it went silent, in which the silence would lie.
    select
        at_hour.hour,
        coalesce(counted.events, 0) >= $min_per_hour as busy
    from (
        select date_trunc('hour', $now::timestamptz - to_minutes(back.minutes) - to_days(days.number)) as hour
        from (select unnest([0, $silent_minutes::integer]) as minutes) as back
        cross join (select unnest([1, 2, 3, 4, 5, 6, 7]) as number) as days
    ) as at_hour
    cross join last_event
    left join counted on at_hour.hour = counted.window_start
    where at_hour.hour >= last_event.begun and at_hour.hour + interval 1 hour <= last_event.at
)

select
    'events' as group_key,
    format(
        'No event has come since {} UTC ({} minutes). In {} of {} hours at this time of other days there were {} or '
        || 'more.',
        strftime(any_value(last_event.at) at time zone 'UTC', '%Y-%m-%d %H:%M'),
        date_diff('minute', any_value(last_event.at), $now::timestamptz),
        count_if(day.busy),
        count(*),
        $min_per_hour::integer
    ) as summary,
    any_value(last_event.at) as first_seen
from day
cross join last_event
where last_event.at < $now::timestamptz - to_minutes($silent_minutes::integer)
having count_if(day.busy) >= greatest(1, $usually * count(*))
