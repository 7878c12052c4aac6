-- Do events come from the future?
select
    'events' as group_key,
    format(
        '{} messages of the last quarter of an hour were refused for a time too far ahead of this clock.', count(*)
    ) as summary,
    min(seen_at) as first_seen
from dead_letters
where reason = 'timestamp_in_future' and seen_at >= $now::timestamptz - interval 15 minutes
having count(*) >= $min_messages
union all
select
    'watermark' as group_key,
    format(
        'Event time is {} minutes ahead of this clock in {} partitions.',
        date_diff('minute', $now::timestamptz, max(watermark)),
        count(*)
    ) as summary,
    $now::timestamptz as first_seen
from pipeline_health
where watermark > $now::timestamptz + to_minutes($max_ahead_minutes::integer)
having count(*) > 0
