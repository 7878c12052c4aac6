-- Whom the accounts of a campaign took over from, and who took over from them.
select
    campaign_id,
    succeeds,
    stopped_at,
    began_at,
    accounts_before,
    accounts_after,
    strength,
    evidence
from campaign_successions
where campaign_id = $campaign or succeeds = $campaign
order by began_at, campaign_id, succeeds;
