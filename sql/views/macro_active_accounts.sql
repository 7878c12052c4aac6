-- Who sent anything between two moments, by whole hours, a row an account: from active_accounts(begin, end). Columns:
-- account_id, events, first_seen (its first request of these), created_at, payment_hash, email_domain, and customer.
-- Whoever openly belongs together is one customer, by organisation, or by one payment for a whole mail domain.
create or replace macro active_accounts(window_begin, window_end) as table
    with
    counted as (
        -- Every event has a model: these are the totals.
        select
            source_id as account_id,
            sum(events)::bigint as events,
            min(first_seen) as first_seen
        from link_rows(window_begin, window_end)
        where target_kind = 'model'
        group by source_id
    ),

    known as (
        select
            counted.*,
            account_fact.created_at,
            account_fact.organisation,
            account_fact.payment_hash,
            account_fact.email_domain
        from counted
        left join account_fact on counted.account_id = account_fact.account_id
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
    from known;
