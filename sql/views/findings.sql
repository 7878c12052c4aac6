-- What follows from the signals, for each account that has any and each campaign; named or not.
create or replace view findings as
select
    finding_id, -- stays the same while the finding lasts
    dimension, -- account or campaign
    entity_id, -- account_id, or campaign_id
    campaign_id, -- the campaign of an account; null: in none
    score, -- 0 to 1: all its evidence together
    population, -- benign accounts to compare with: what is known of prompts, age, heavy or all; null: a campaign
    heavy, -- it sends 250 requests a day or more, over its time and a day at least
    e_value, -- the score held against theirs: at most 1 on average for an innocent account; null: not measured
    named, -- its e-value reaches what rules.false_discovery_rate asks for (see naming), and nobody cleared it
    cleared_reason, -- why a person cleared what was seen; null: nobody did, or it goes on after that ran out
    reasons, -- what was seen, a sentence each
    first_seen, -- event time at which the evidence begins
    last_seen, -- event time at which it ends so far
    created_at, -- when it was first found
    updated_at -- when it last changed
from finding;
