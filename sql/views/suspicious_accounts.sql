-- The accounts that are named: their evidence is so rare among benign accounts that rules.false_discovery_rate is kept,
-- and nobody cleared them.
create or replace view suspicious_accounts as
select
    entity_id as account_id, -- who is named
    score, -- 0 to 1: all its evidence together
    e_value, -- the score held against those of benign accounts; 100 and 1,000 accounts tested are not much
    campaign_id, -- the campaign it acts in; null: by itself
    reasons, -- what was seen, a sentence each, strongest first
    first_seen, -- event time at which the evidence begins
    last_seen -- event time at which it ends so far
from finding
where dimension = 'account' and named;
