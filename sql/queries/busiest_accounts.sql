-- Which accounts send most requests?
-- $hours = 24
-- $rows = 50
select
    prints.entity_id as account_id,
    any_value(accounts.organisation) as organisation,
    any_value(accounts.plan) as plan,
    any_value(accounts.created_at) as created_at,
    sum(prints.events)::bigint as requests,
    sum(prints.output_tokens)::bigint as output_tokens,
    round(avg(prints.in_flight), 2) as in_flight,
    round(sum(prints.errors) / sum(prints.events), 3) as error_share,
    max(prints.last_seen) as last_seen
from fingerprints_1h as prints
left join accounts on prints.entity_id = accounts.account_id
where
    prints.kind = 'account'
    and prints.window_start >= (select max(seen.last_seen) from accounts as seen) - to_hours($hours::integer)
group by prints.entity_id
order by requests desc, account_id asc
limit $rows;
