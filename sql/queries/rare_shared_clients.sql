-- Which clients are rare and yet shared by several accounts?
-- $hours = 24
-- $accounts = 3
-- $share = 0.05
with
used as (
    select
        source_id as account_id,
        target_id as client,
        sum(events) as requests,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from
        link_rows(
            (select max(last_seen) from accounts) - to_hours($hours::integer - 1),
            (select max(last_seen) from accounts) + interval 1 hour
        )
    where target_kind = 'client'
    group by source_id, target_id
),

everyone as (
    select count(distinct account_id) as accounts
    from used
)

select
    used.client,
    count(*) as accounts,
    round(count(*) / any_value(everyone.accounts), 4) as share_of_accounts,
    sum(used.requests)::bigint as requests,
    list(used.account_id order by used.requests desc)[1:10] as some_accounts,
    min(used.first_seen) as first_seen,
    max(used.last_seen) as last_seen
from used
cross join everyone
group by used.client
having count(*) >= $accounts and count(*) <= $share * any_value(everyone.accounts)
order by accounts desc, requests desc, used.client asc;
