-- Requests of an account, or of the members of a campaign, by minute, in a span of time.
select
    window_start,
    sum(events)::bigint as events,
    sum(errors)::bigint as errors,
    sum(refused)::bigint as refused,
    count(distinct entity_id) as accounts
from fingerprints_1m
where
    kind = 'account'
    and entity_id in (
        select $account::varchar as account_id
        union all
        select account_id
        from campaign_members
        where campaign_id = $campaign::varchar
    )
    and window_start >= $since::timestamptz
    and window_start < $until::timestamptz
group by window_start
order by window_start;
