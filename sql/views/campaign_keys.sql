-- What joins the accounts of a campaign: the things they share. One that was merged has left its keys to another.
create or replace view campaign_keys as
select
    campaign_id, -- the campaign
    group_key -- the thing, as kind:id; the group_key of signals
from campaign_key
where current;
