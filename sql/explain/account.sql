-- What is known and was concluded about one account; no row: nothing.
select
    accounts.account_id,
    accounts.created_at,
    accounts.plan,
    accounts.quota,
    accounts.payment_hash,
    accounts.email_domain,
    accounts.organisation,
    accounts.country,
    accounts.status,
    accounts.first_seen,
    accounts.last_seen,
    accounts.events,
    accounts.errors,
    accounts.refused,
    accounts.input_tokens,
    accounts.output_tokens,
    accounts.cleared_reason as said_reason,
    accounts.cleared_until,
    findings.score,
    findings.named,
    findings.campaign_id,
    findings.cleared_reason,
    findings.first_seen as evidence_from,
    findings.last_seen as evidence_to,
    findings.population,
    findings.e_value,
    findings.heavy,
    (
        select count(distinct target_id)
        from links
        where source_kind = 'account' and source_id = $account and target_kind = 'end_user'
    ) as end_users
from accounts
left join findings on accounts.account_id = findings.entity_id and findings.dimension = 'account'
where accounts.account_id = $account;
