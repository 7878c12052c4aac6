-- How do requests and output tokens spread over models?
-- $hours = 24
select
    target_id as model,
    count(distinct source_id) as accounts,
    sum(events)::bigint as requests,
    round(sum(events) / sum(sum(events)) over (), 4) as share_of_requests,
    sum(output_tokens)::bigint as output_tokens,
    round(sum(output_tokens) / nullif(sum(sum(output_tokens)) over (), 0), 4) as share_of_output,
    round(sum(output_tokens) / sum(events), 1) as output_tokens_per_request
from
    links_of(
        'account',
        (select max(last_seen) from accounts) - to_hours($hours::integer - 1),
        (select max(last_seen) from accounts) + interval 1 hour
    )
where target_kind = 'model'
group by target_id
order by requests desc, model asc;
