-- Which accounts belong to which campaign, and how probably.
create or replace view campaign_members as
select
    campaign_id,
    account_id,
    probability,
    first_seen,
    last_seen,
    joined_at
from campaign_member;
