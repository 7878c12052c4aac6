-- Which accounts mostly ask for reasoning, grades, rewriting or new instructions, and at volume?
with
entries as (
    select
        prints.entity_id as account_id,
        sum(prints.events) as events,
        min(prints.first_seen) as first_seen,
        max(prints.last_seen) as last_seen,
        unnest(request_kinds(flatten(list(prints.tally)))) as entry
    from fingerprints_1h as prints
    where
        prints.window_start >= date_trunc('hour', $since::timestamptz)
        and prints.window_start < $until::timestamptz
        and prints.kind = 'account'
    group by prints.entity_id
    having sum(prints.events) >= $min_requests
),

counted as (
    select
        account_id,
        struct_extract(entry, 'request_kind') as request_kind,
        struct_extract(entry, 'count') as requests,
        events,
        first_seen,
        last_seen
    from entries
),

asked as (
    select
        account_id,
        any_value(events) as events,
        any_value(first_seen) as first_seen,
        any_value(last_seen) as last_seen,
        sum(requests) filter (where request_kind = 'reasoning_elicitation') as reasoning,
        sum(requests) filter (where request_kind not in ('ordinary', 'benchmark_item')) as told
    from counted
    group by account_id
),

judged as (
    select
        *,
        -- Whoever judges, cleans or invents tasks has his own reasons more often than who wants to see the thinking.
        (coalesce(reasoning, 0) * $cap + (told - coalesce(reasoning, 0)) * $cap_others) / events
        -- A handful says nothing; some hundred are work.
        * (1 - exp(-told / $scale)) as strength
    from asked
    where told >= $min_share * events
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    'account:' || account_id as group_key,
    strength,
    format(
        '{} of its {} requests ask for reasoning, grades, rewriting or new instructions; for reasoning {}.',
        told,
        events,
        coalesce(reasoning, 0)
    ) as reason,
    first_seen,
    last_seen
from judged
where strength >= $min_strength
