-- Which accounts mostly ask for reasoning, grades, rewriting or new instructions, and at volume?
with
sent as (
    select
        account_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from account_hours($since, $until)
    group by account_id
    having sum(events) >= $min_requests
),

kinds as (
    select
        account_id,
        sum(requests) filter (where request_kind = 'reasoning_elicitation') as reasoning,
        sum(requests) filter (where request_kind not in ('ordinary', 'benchmark_item')) as told
    from asked_kinds($since, $until)
    group by account_id
),

asked as (
    select
        sent.*,
        kinds.reasoning,
        kinds.told
    from sent
    inner join kinds on sent.account_id = kinds.account_id
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
