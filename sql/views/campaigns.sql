-- Accounts acting as one, with an identity that lasts.
create or replace view campaigns as
select
    campaign_id,
    score,
    accounts,
    named_accounts,
    reasons,
    first_key,
    first_seen,
    last_seen,
    created_at,
    updated_at
from campaign
where merged_into is null and accounts > 0;
