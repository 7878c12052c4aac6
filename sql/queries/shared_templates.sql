-- Which prompt templates and system prompts are shared by most accounts?
-- $hours = 24
-- $rows = 50
select
    target_kind as kind,
    target_id as id,
    count(distinct source_id) as accounts,
    sum(events)::bigint as requests,
    round(sum(events) / count(distinct source_id), 1) as requests_per_account,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from
    link_rows(
        (select max(last_seen) from accounts) - to_hours($hours::integer - 1),
        (select max(last_seen) from accounts) + interval 1 hour
    )
where target_kind in ('template', 'system_prompt')
group by target_kind, target_id
having count(distinct source_id) > 1
order by accounts desc, requests desc, id asc
limit $rows;
