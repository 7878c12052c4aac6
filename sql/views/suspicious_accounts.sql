-- The accounts that are named: their evidence reaches the score set by rules.name_at, and nobody cleared them.
create or replace view suspicious_accounts as
select
    finding.entity_id as account_id, -- who is named
    finding.score, -- how sure, 0 to 1: all its evidence together
    finding.campaign_id, -- the campaign it acts in; null: by itself
    finding.reasons, -- what was seen, a sentence each, strongest first
    finding.first_seen, -- event time at which the evidence begins
    finding.last_seen -- event time at which it ends so far
from finding
left join accounts on finding.entity_id = accounts.account_id
where finding.dimension = 'account' and finding.named and accounts.cleared_reason is null;
