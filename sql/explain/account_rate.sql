-- How many requests an account sent in a span of time, against all accounts with any in it.
with
sent as (
    select
        source_id as account_id,
        sum(events) as events
    from links
    where
        source_kind = 'account'
        and target_kind = 'model'
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
    group by source_id
),

mine as (
    select coalesce(sum(events), 0) as events
    from sent
    where account_id = $account
)

select
    any_value(mine.events)::bigint as events,
    count(sent.account_id) as accounts,
    count(sent.account_id) filter (where sent.events < mine.events) as fewer,
    count(sent.account_id) filter (where sent.events = mine.events) as same,
    quantile_cont(sent.events, 0.5) as median_events,
    quantile_cont(sent.events, 0.99) as high_events
from mine
left join sent on true;
