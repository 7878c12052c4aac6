-- Which new accounts are paid for as a banned one was, and began when that had stopped?
with
active as (
    select
        account_id,
        events,
        payment_hash,
        created_at
    from active_accounts($since, $until)
    where payment_hash is not null
),

banned as (
    select
        payment_hash,
        count(*) as accounts,
        min(account_id) as example,
        max(last_seen) as stopped_at
    from accounts
    where
        payment_hash is not null
        and last_seen is not null
        and lower(status) in ('banned', 'suspended', 'disabled', 'terminated', 'blocked')
    group by payment_hash
),

kept as (
    -- Who paid so before the ban and was let be: the provider knows this customer.
    select
        accounts.payment_hash,
        count(*) as accounts
    from accounts
    inner join banned on accounts.payment_hash = banned.payment_hash
    where
        coalesce(lower(accounts.status), '') not in ('banned', 'suspended', 'disabled', 'terminated', 'blocked')
        and (accounts.created_at is null or accounts.created_at <= banned.stopped_at)
    group by accounts.payment_hash
),

used as (
    select
        source_id as account_id,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_rows($since, $until)
    where target_kind = 'model'
    group by source_id
)

select
    'account' as dimension,
    active.account_id as entity_id,
    active.account_id,
    'payment:' || active.payment_hash as group_key,
    0.9 - 0.4 * date_diff('hour', banned.stopped_at, active.created_at) / (24.0 * $within_days + 1) as strength,
    format(
        'It was created {} hours after the last request of {}, which is closed and was paid for the same way; it '
        || 'sent {} requests.',
        date_diff('hour', banned.stopped_at, active.created_at),
        banned.example,
        active.events
    ) as reason,
    format(
        '{} closed accounts, and accounts made after they had stopped, are paid for the same way.', banned.accounts
    ) as group_reason,
    used.first_seen,
    used.last_seen
from active
inner join banned on active.payment_hash = banned.payment_hash
inner join used on active.account_id = used.account_id
left join kept on active.payment_hash = kept.payment_hash
where
    -- One that was closed itself stopped no earlier than it began.
    active.created_at > banned.stopped_at
    and active.created_at <= banned.stopped_at + to_days($within_days::integer)
    and active.events >= $min_requests
    and coalesce(kept.accounts, 0) <= $max_kept
