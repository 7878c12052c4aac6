-- Which young accounts run at full speed from their first hour, without the ramp of somebody who tries things out?
with
busy as (
    select
        prints.entity_id as account_id,
        any_value(accounts.created_at) as created_at,
        any_value(accounts.quota) as quota,
        count(*) as panes,
        date_diff('minute', min(prints.window_start), max(prints.window_start)) + 1 as span,
        sum(prints.events) as events,
        sum(prints.rate_limited) as rate_limited,
        min(prints.first_seen) as first_seen,
        max(prints.last_seen) as last_seen,
        list(prints.events order by prints.window_start) as by_pane
    from fingerprints_1m as prints
    inner join accounts on prints.entity_id = accounts.account_id
    where
        prints.window_start >= $since::timestamptz
        and prints.window_start < $until::timestamptz
        and prints.kind = 'account'
        -- Facts tell the age; an account that was seen before this window is past its first hour.
        and accounts.created_at is not null
        and accounts.first_seen >= $since::timestamptz
        and accounts.first_seen <= accounts.created_at + to_days($young_days::integer)
    group by prints.entity_id
    having count(*) >= $min_panes and sum(prints.events) >= $min_rate * count(*)
),

shaped as (
    select
        *,
        list_avg(by_pane[1:(panes // 3)]) as rate_first,
        list_avg(by_pane[-(panes // 3):]) as rate_last,
        list_max(by_pane) as rate_most
    from busy
    where panes >= $min_busy * span
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    'account:' || account_id as group_key,
    $cap * least(1, rate_first / rate_most) * least(1, 0.5 + 0.5 * (events / panes) / (4 * $min_rate)) as strength,
    format(
        '{:.0f} requests a minute over its first {} minutes without a ramp: {:.0f} a minute at the start, {:.0f} at '
        || 'the end. It was created {:.1f} days before.{}',
        events / panes,
        span,
        rate_first,
        rate_last,
        date_diff('second', created_at, first_seen) / 86400,
        if(rate_limited > 0, format(' {} of its requests were rate-limited.', rate_limited), '')
    ) as reason,
    first_seen,
    last_seen
from shaped
where rate_first >= $max_ramp * rate_last
