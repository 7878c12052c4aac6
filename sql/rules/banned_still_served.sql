-- Which accounts are told to be closed, and are answered all the same?
with
closed as (
    select
        account_id,
        status,
        updated_at
    from accounts
    where lower(status) in ('banned', 'suspended', 'disabled', 'terminated', 'blocked')
),

after_it as (
    -- Minutes, since the hour in which an account was closed had good requests before.
    select
        closed.account_id,
        any_value(closed.status) as status,
        any_value(closed.updated_at) as updated_at,
        sum(prints.events) as events,
        sum(prints.errors) as errors,
        min(prints.first_seen) as first_seen,
        max(prints.last_seen) as last_seen
    from fingerprints_1m as prints
    inner join closed on prints.entity_id = closed.account_id
    where
        prints.kind = 'account'
        and prints.window_start >= $since::timestamptz
        and prints.window_start < $until::timestamptz
        and prints.window_start >= closed.updated_at + to_minutes($grace_minutes::integer)
    group by closed.account_id
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    'account:' || account_id as group_key,
    0.5 + 0.45 * (1 - $min_served / (events - errors + 1)) as strength,
    format(
        'Its status is {} as told at {} UTC, and {} of its {} requests after that were answered.',
        status,
        strftime(updated_at at time zone 'UTC', '%Y-%m-%d %H:%M'),
        events - errors,
        events
    ) as reason,
    first_seen,
    last_seen
from after_it
where events - errors >= $min_served
