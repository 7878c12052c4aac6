-- The accounts that are named: their evidence reaches the score set by rules.name_at, and nobody cleared them.
create or replace view suspicious_accounts as
select
    entity_id as account_id, -- who is named
    score, -- how sure, 0 to 1: all its evidence together
    campaign_id, -- the campaign it acts in; null: by itself
    reasons, -- what was seen, a sentence each, strongest first
    first_seen, -- event time at which the evidence begins
    last_seen -- event time at which it ends so far
from finding
where dimension = 'account' and named;
