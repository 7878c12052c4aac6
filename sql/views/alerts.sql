-- What a person was told: one alert a subject while it lasts; evidence_sql is the query that shows why.
create or replace view alerts as
select
    alert.alert_id, -- stays the same over all tellings
    alert.rule_id, -- campaign, account, the rule that alerts by itself, or pipeline.ID: about the pipeline
    alert.group_key, -- which campaign, account or group it is about
    alert.campaign_id, -- the campaign; null: about none
    alert.severity, -- low, medium, high or critical
    case
        when alert.state = 'firing' and hand.action = 'ack' and hand.said_at >= alert.firing_since then 'acknowledged'
        else alert.state
    end as state, -- pending (not told yet), firing, acknowledged (somebody has it in hand) or resolved
    alert.title, -- in a few words
    alert.summary, -- in a sentence or two
    alert.accounts, -- accounts it is about
    alert.score, -- 0 to 1
    alert.first_seen, -- event time at which the evidence begins
    alert.last_seen, -- event time at which it ends so far
    alert.opened_at, -- when it was first told
    alert.updated_at, -- when it was last told
    alert.resolved_at, -- when it was over; null: it is not
    said.assignee, -- who looks after it; null: nobody
    said.verdict, -- true, false or benign-known, as somebody judged it; null: nobody did
    alert.dimension, -- what kind of thing it is about
    alert.tags, -- of its rule
    alert.within as held_by_campaign, -- a campaign that all its accounts belong to: that one's alert speaks for it
    alert.evidence_sql -- the query that shows why
from alert
left join (
    select
        alert_id,
        arg_max(action, seq) as action,
        arg_max(said_at, seq) as said_at
    from alert_word
    where action in ('ack', 'unack')
    group by alert_id
) as hand on alert.alert_id = hand.alert_id
left join (
    select
        alert_id,
        arg_max_null(value, seq) filter (where action = 'assign') as assignee,
        arg_max_null(value, seq) filter (where action = 'verdict') as verdict
    from alert_word
    group by alert_id
) as said on alert.alert_id = said.alert_id;
