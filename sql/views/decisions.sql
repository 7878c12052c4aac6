-- What a gateway should do about an account, from when until when, in shadow or for real.
create or replace view decisions as
select
    decision_id, -- the decision
    account_id, -- about whom
    action, -- what the gateway should do
    mode, -- shadow: only noted; enforce: for real
    reason, -- why, for a person
    campaign_id, -- the campaign it follows from
    valid_from, -- from when it holds
    valid_until, -- until when; null: until further notice
    created_at -- when it was made
from decision;
