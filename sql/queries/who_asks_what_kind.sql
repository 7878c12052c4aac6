-- Which accounts ask for reasoning, grades, rewriting of what models wrote, new instructions or benchmark items?
-- $hours = 24
-- $share = 0.2
-- $rows = 50
with entries as (
    select
        prints.account_id,
        unnest(request_kinds(flatten(list(prints.tally)))) as entry
    from
        account_rows(
            (select max(seen.last_seen) from accounts as seen) - to_hours($hours::integer - 1),
            (select max(seen.last_seen) from accounts as seen) + interval 1 hour
        ) as prints
    group by prints.account_id
),

counted as (
    select
        account_id,
        struct_extract(entry, 'request_kind') as request_kind,
        struct_extract(entry, 'count') as requests
    from entries
),

by_account as (
    select
        account_id,
        sum(requests)::bigint as requests_with_text,
        sum(if(request_kind = 'reasoning_elicitation', requests, 0))::bigint as reasoning_elicitation,
        sum(if(request_kind = 'rubric_grading', requests, 0))::bigint as rubric_grading,
        sum(if(request_kind = 'output_rewriting', requests, 0))::bigint as output_rewriting,
        sum(if(request_kind = 'instruction_generation', requests, 0))::bigint as instruction_generation,
        sum(if(request_kind = 'benchmark_item', requests, 0))::bigint as benchmark_item,
        round(sum(if(request_kind = 'ordinary', 0, requests)) / sum(requests), 3) as share_not_ordinary
    from counted
    group by account_id
)

select
    by_account.account_id,
    accounts.organisation,
    accounts.created_at,
    by_account.requests_with_text,
    by_account.share_not_ordinary,
    by_account.reasoning_elicitation,
    by_account.rubric_grading,
    by_account.output_rewriting,
    by_account.instruction_generation,
    by_account.benchmark_item
from by_account
left join accounts on by_account.account_id = accounts.account_id
where by_account.share_not_ordinary >= $share
order by by_account.requests_with_text * by_account.share_not_ordinary desc, by_account.account_id asc
limit $rows;
