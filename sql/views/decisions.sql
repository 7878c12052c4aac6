-- What a gateway should do about an account, from when until when, in shadow or for real.
create or replace view decisions as
select
    decision_id,
    account_id,
    action,
    mode,
    reason,
    campaign_id,
    valid_from,
    valid_until,
    created_at
from decision;
