-- What a person was told: one alert a subject while it lasts; evidence_sql is the query that shows why.
create or replace view alerts as
select
    alert_id, -- stays the same over all tellings
    rule_id, -- campaign, account, or the rule that alerts by itself
    group_key, -- which campaign, account or group it is about
    campaign_id, -- the campaign; null: about none
    severity, -- low, medium, high or critical
    state, -- open or resolved
    title, -- in a few words
    summary, -- in a sentence or two
    accounts, -- accounts it is about
    score, -- 0 to 1
    first_seen, -- event time at which the evidence begins
    last_seen, -- event time at which it ends so far
    opened_at, -- when it was first told
    updated_at, -- when it was last told
    resolved_at, -- when it was over; null: it is not
    evidence_sql -- the query that shows why
from alert;
