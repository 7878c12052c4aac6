-- Accounts acting as one, with an identity that lasts.
create or replace view campaigns as
select
    campaign_id, -- stays the same while it grows
    score, -- mean score of its members, each counted by its probability
    accounts, -- members
    named_accounts, -- members that are named
    reasons, -- what they share, a sentence each
    first_key, -- the group_key that it was first seen by
    first_seen, -- event time of its first evidence
    last_seen, -- event time of its latest
    last_request, -- event time of the latest request of an account that is counted to it, whatever it was
    ended_at, -- when rules.campaign_ends_after_days had passed without any; null: they have not
    prior_odds, -- that any account tested belongs, before what it shares is looked at; see campaign_things
    created_at, -- when it was first found
    updated_at -- when it last changed
from campaign
where merged_into is null and accounts > 0;
