-- Each account that was seen or of which facts are known; totals are for all time.
create or replace view accounts as
select
    coalesce(seen.account_id, account_fact.account_id) as account_id,
    account_fact.created_at, -- as told; null: not known
    account_fact.plan,
    account_fact.quota,
    account_fact.payment_hash,
    account_fact.email_domain,
    account_fact.organisation,
    account_fact.country,
    account_fact.status,
    account_fact.cleared_reason, -- why a person cleared it: it is not named then
    account_fact.updated_at, -- when the facts were last told
    seen.first_seen,
    seen.last_seen,
    coalesce(seen.events, 0) as events, -- requests
    coalesce(seen.errors, 0) as errors,
    coalesce(seen.refused, 0) as refused,
    coalesce(seen.input_tokens, 0) as input_tokens,
    coalesce(seen.output_tokens, 0) as output_tokens
from (
    select
        account_id,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen,
        sum(events)::bigint as events,
        sum(errors)::bigint as errors,
        sum(refused)::bigint as refused,
        sum(input_tokens)::bigint as input_tokens,
        sum(output_tokens)::bigint as output_tokens
    from (
        select
            account_id,
            first_seen,
            last_seen,
            events,
            errors,
            refused,
            input_tokens,
            output_tokens
        from account_seen
        union all
        select
            entity_id as account_id,
            first_seen,
            last_seen,
            events,
            errors,
            refused,
            input_tokens,
            output_tokens
        from pane_delta
        where kind = 'account'
    ) as rows_of_both
    group by account_id
) as seen
full join account_fact on seen.account_id = account_fact.account_id;
