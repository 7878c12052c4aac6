-- Accounts that began after others had stopped, and are like them: banned accounts that were replaced, or a pool that
-- moved on. Names nobody by itself. What is found is a function of what is stored.
create or replace view campaign_successions as
select
    campaign_id, -- the campaign of those that began later
    succeeds, -- the campaign of those that stopped: the same one where they go on under the same things
    stopped_at, -- event time of the last request of these that was served, to the hour where others failed after it
    began_at, -- event time of the first request of those
    accounts_before, -- how many stopped
    accounts_after, -- how many began
    strength, -- 0 to 1: how much alike they are, and how new; see docs/method.md
    evidence -- what that rests on, a sentence each
from campaign_succession;
