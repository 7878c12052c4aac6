-- Which accounts send to the model what it said to other customers (or to themselves), and how much of it?
-- $hours = 24
-- $own = 0
-- $rows = 50
with
loop as (
    select *
    from
        output_loops(
            (select max(last_seen) from accounts) - to_hours($hours::integer),
            (select max(last_seen) from accounts) + interval 1 hour
        )
    where $own::integer <> 0 or from_account <> to_account
)

select
    loop.to_account,
    receiver.organisation as to_organisation,
    count(distinct loop.from_account) as from_accounts,
    count(distinct coalesce(sender.organisation, loop.from_account)) as from_customers,
    sum(loop.outputs)::bigint as outputs,
    sum(loop.passages)::bigint as passages,
    sum(loop.requests)::bigint as requests,
    round(sum(loop.audience * loop.passages) / sum(loop.passages), 1) as audience,
    round(median(loop.median_delay_s)) as median_delay_s,
    min(loop.first_seen) as first_seen,
    max(loop.last_seen) as last_seen
from loop
left join accounts as receiver on loop.to_account = receiver.account_id
left join accounts as sender on loop.from_account = sender.account_id
group by loop.to_account, receiver.organisation
order by outputs desc, loop.to_account asc
limit $rows;
