-- One campaign as it stands; no row: there is none, or it is over.
select
    campaign_id,
    score,
    accounts,
    named_accounts,
    reasons,
    first_key,
    first_seen,
    last_seen,
    last_request,
    ended_at,
    prior_odds,
    created_at,
    updated_at
from campaigns
where campaign_id = $campaign;
