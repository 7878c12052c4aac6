-- The things that join the accounts of a campaign.
select group_key
from campaign_keys
where campaign_id = $campaign
order by group_key;
