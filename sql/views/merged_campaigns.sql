-- Campaigns that turned out to be part of an older one.
create or replace view merged_campaigns as
select
    campaign_id, -- the younger one, which is no more
    merged_into, -- the one that goes on; it may have been merged later
    updated_at -- when that was found
from campaign
where merged_into is not null;
