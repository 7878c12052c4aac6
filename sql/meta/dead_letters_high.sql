-- Is much more refused than usual?
with
lately as (
    select
        (
            select count(*) from dead_letters
            where source_topic is not null and seen_at >= $now::timestamptz - interval 1 hour
        ) as dead,
        (
            select coalesce(sum(events), 0) from fingerprints_1m
            where kind = 'account' and window_start >= $now::timestamptz - interval 1 hour
        ) as events
),

usually as (
    select
        (
            select count(*) from dead_letters
            where
                source_topic is not null
                and seen_at >= $now::timestamptz - interval 7 days
                and seen_at < $now::timestamptz - interval 1 hour
        ) as dead,
        -- The tables behind fingerprints_1h: nobody needs each account's hours of a week each minute.
        (
            select coalesce(sum(events), 0) from hour
            where
                kind = 'account'
                and window_start >= $now::timestamptz - interval 7 days
                and window_start < $now::timestamptz - interval 1 hour
        ) + (
            select coalesce(sum(events), 0) from pane_delta
            where
                kind = 'account'
                and pane >= $now::timestamptz - interval 7 days
                and pane < $now::timestamptz - interval 1 hour
        ) as events
),

why as (
    select
        arg_max(reason, times) as reason,
        min(first_seen) as first_seen
    from (
        select
            reason,
            count(*) as times,
            min(seen_at) as first_seen
        from dead_letters
        where source_topic is not null and seen_at >= $now::timestamptz - interval 1 hour
        group by reason
    ) as by_reason
)

select
    'dead_letters' as group_key,
    format(
        '{} messages were refused in the last hour, {:.1f} % of all, usually {:.2f} %; most often: {}.',
        lately.dead,
        100 * lately.dead / (lately.dead + lately.events),
        100 * usually.dead / greatest(1, usually.dead + usually.events),
        why.reason
    ) as summary,
    why.first_seen
from lately
cross join usually
cross join why
where
    lately.dead >= $min_dead
    and lately.dead / (lately.dead + lately.events)
    >= greatest($min_share, $times_usual * usually.dead / greatest(1, usually.dead + usually.events))
