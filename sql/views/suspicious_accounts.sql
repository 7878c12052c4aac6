-- The accounts that are named: their evidence reaches the score set by rules.name_at, and nobody cleared them.
create or replace view suspicious_accounts as
select
    finding.entity_id as account_id,
    finding.score,
    finding.campaign_id,
    finding.reasons,
    finding.first_seen,
    finding.last_seen
from finding
left join accounts on finding.entity_id = accounts.account_id
where finding.dimension = 'account' and finding.named and accounts.cleared_reason is null;
