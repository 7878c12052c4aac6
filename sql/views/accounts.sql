-- Each account that was seen or of which facts are known; totals are for all time.
create or replace view accounts as
select
    coalesce(seen.account_id, account_fact.account_id) as account_id, -- a pseudonym where privacy.pseudonymise names it
    account_fact.created_at, -- as told; null: not known
    account_fact.plan, -- as told
    account_fact.quota, -- as told
    account_fact.payment_hash, -- as told: a hash of the means of payment
    account_fact.email_domain, -- as told
    account_fact.organisation, -- as told
    account_fact.country, -- as told
    account_fact.status, -- as told
    cleared.reason as cleared_reason, -- why a person cleared it; null: nobody did
    cleared.until as cleared_until, -- what is seen of it from then on counts again; null: until that is taken back
    account_fact.updated_at, -- when the facts were last told
    seen.first_seen, -- event time of its first request
    seen.last_seen, -- event time of its latest
    coalesce(seen.events, 0) as events, -- requests
    coalesce(seen.errors, 0) as errors, -- of them with status 400 and above
    coalesce(seen.refused, 0) as refused, -- of them refused by policy
    coalesce(seen.input_tokens, 0) as input_tokens, -- sum
    coalesce(seen.output_tokens, 0) as output_tokens -- sum
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
full join account_fact on seen.account_id = account_fact.account_id
left join (
    select
        account_id,
        reason,
        until
    from clearances
    where last_word and action = 'clear'
) as cleared on coalesce(seen.account_id, account_fact.account_id) = cleared.account_id;
