-- What follows from the signals, for each account that has any and each campaign; named or not.
create or replace view findings as
select
    finding_id,
    dimension,
    entity_id,
    campaign_id,
    score,
    named,
    cleared_reason,
    reasons,
    first_seen,
    last_seen,
    created_at,
    updated_at
from finding;
