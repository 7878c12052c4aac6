-- Which accounts were new when first seen and reached many requests a minute within their first hour?
-- $days = 7
-- $per_minute = 10
with early as (
    select
        prints.entity_id as account_id,
        max(prints.events) as most_a_minute,
        sum(prints.events)::bigint as requests_first_hour,
        count(*) as busy_minutes
    from fingerprints_1m as prints
    inner join accounts on prints.entity_id = accounts.account_id
    where
        prints.kind = 'account'
        and prints.window_start < accounts.first_seen + interval 1 hour
        and accounts.first_seen <= accounts.created_at + to_days($days::integer)
    group by prints.entity_id
)

select
    accounts.account_id,
    accounts.created_at,
    accounts.first_seen,
    round(date_diff('second', accounts.created_at, accounts.first_seen) / 86400, 1) as age_days,
    early.most_a_minute,
    early.requests_first_hour,
    early.busy_minutes,
    accounts.events as requests,
    accounts.plan,
    accounts.email_domain
from early
inner join accounts on early.account_id = accounts.account_id
where early.most_a_minute >= $per_minute
order by early.requests_first_hour desc, accounts.account_id asc;
