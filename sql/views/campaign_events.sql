-- What each look saw change in a campaign: a history of looks, kept as it was recorded. Whoever looked more often, or
-- read the same events in one go, has another one; what stands in campaigns is the same.
create or replace view campaign_events as
select
    seq, -- in which order they were recorded
    campaign_id, -- the campaign
    change, -- born, grew, absorbed, merged, split, split_off, faded, returned, ended or awoke
    event_until, -- how far event time had come at that look
    recorded_at, -- when it looked
    accounts, -- members then
    named_accounts, -- of them named
    other_campaign -- absorbed, merged, split, split_off: the other one
from campaign_event;
