-- Which accounts belong to which campaign, and how probably.
create or replace view campaign_members as
select
    campaign_id, -- the campaign
    account_id, -- the member
    probability, -- that it belongs, 0 to 1, from what it shares of campaign_things; its score takes no part
    shared, -- what it has of campaign_things
    first_seen, -- event time of its first evidence
    last_seen, -- event time of its latest
    joined_at -- when it was first counted as a member
from campaign_member;
