-- Who sent anything between two moments, by whole hours, a row an account: from active_accounts(begin, end). Columns:
-- account_id, events, first_seen (its first request of these), created_at, payment_hash, email_domain, and customer.
-- Whoever openly belongs together is one customer, by organisation, or by one payment for a whole mail domain.
create or replace macro active_accounts(window_begin, window_end) as table
    with
    counted as (
        -- Every event has a model: these are the totals.
        select
            links.source_id as account_id,
            sum(links.events) as events,
            min(links.first_seen) as first_seen,
            any_value(accounts.created_at) as created_at,
            any_value(accounts.organisation) as organisation,
            any_value(accounts.payment_hash) as payment_hash,
            any_value(accounts.email_domain) as email_domain
        from links
        left join accounts on links.source_id = accounts.account_id
        where
            links.hour >= date_trunc('hour', window_begin::timestamptz)
            and links.hour < window_end::timestamptz
            and links.source_kind = 'account'
            and links.target_kind = 'model'
        group by links.source_id
    )

    select
        account_id,
        events,
        first_seen,
        created_at,
        payment_hash,
        email_domain,
        coalesce(
            organisation,
            if(
                payment_hash is not null
                and min(payment_hash) over (partition by email_domain)
                = max(payment_hash) over (partition by email_domain),
                'domain:' || email_domain,
                null
            ),
            'account:' || account_id
        ) as customer
    from counted;
