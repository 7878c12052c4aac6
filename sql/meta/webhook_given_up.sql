-- Which receivers get nothing any more?
select
    'endpoint:' || endpoint as group_key,
    format(
        '{} messages for {} were given up{}; the last answer: {}.',
        count_if(state in ('failed', 'disabled')),
        endpoint,
        if(bool_or(state = 'disabled'), ' (it said 410 Gone)', ''),
        coalesce(
            arg_max(coalesce(last_status::varchar, last_error), created_at)
            filter (where state in ('failed', 'disabled')),
            'none'
        )
    ) as summary,
    min(created_at) filter (where state in ('failed', 'disabled')) as first_seen
from webhook_deliveries
where created_at >= $now::timestamptz - to_days($days::integer)
group by endpoint
having
    count_if(state in ('failed', 'disabled')) >= $min_messages
    and coalesce(
        max(delivered_at) < max(created_at) filter (where state in ('failed', 'disabled')), true
    )
