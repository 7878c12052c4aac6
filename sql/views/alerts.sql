-- What a person was told: one alert a subject while it lasts; evidence_sql is the query that shows why.
create or replace view alerts as
select
    alert_id,
    rule_id,
    group_key,
    campaign_id,
    severity,
    state,
    title,
    summary,
    accounts,
    score,
    first_seen,
    last_seen,
    opened_at,
    updated_at,
    resolved_at,
    evidence_sql
from alert;
