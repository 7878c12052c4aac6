"""Of which subjects the alert may have to change: found in bulk, so that thousands that stand as told cost next to
nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from pipeline.alerts.subjects import KEEP_FIRING, TOLD_OF
from pipeline.rules.load import RuleSet
from pipeline.rules.meta import PIPELINE
from pipeline.rules.run import Tx

# What `lifecycle` decides by, of all subjects as they stand now. Whoever is more than a rule needs is looked at for
# nothing; whoever is left out is told nothing, and a test holds the two against each other.
_DUE: Final = f"""
with alerting as (
    select
        unnest($rules::varchar[]) as rule_id,
        unnest($at::double[]) as alert_at,
        unnest($severities::varchar[]) as severity,
        unnest($kept_s::double[]) as kept_s
),

subject_now as (
    select
        'campaign|' || campaign_id as subject,
        null::varchar as severity, -- is raised by its size alone, which is looked at anyway
        named_accounts as accounts,
        score,
        last_seen,
        null::varchar as within,
        $kept_by_default_s::double as kept_s
    from campaign
    where merged_into is null and named_accounts > 0
    union all
    select 'account|account:' || account_id, 'medium', 1, score, last_seen, null, $kept_by_default_s
    from suspicious_accounts
    where campaign_id is null
    union all
    select
        signals.rule_id || '|' || signals.group_key,
        any_value(alerting.severity),
        count(distinct signals.account_id),
        max(signals.strength),
        max(signals.last_seen),
        if(bool_and(told_of.campaign_id is not null), min(told_of.campaign_id), null),
        any_value(alerting.kept_s)
    from signals
    inner join alerting on signals.rule_id = alerting.rule_id
    left join {TOLD_OF} as told_of on signals.account_id = told_of.account_id
    where signals.strength >= alerting.alert_at
    group by signals.rule_id, signals.group_key
),

standing as (
    select subject, state, severity, accounts, score, last_seen, within
    from alert
    where state <> 'resolved' and dimension <> $pipeline and not list_contains($missing::varchar[], rule_id)
),

over as (
    select subject, max_by(last_seen, (opened_at, alert_id)) as last_seen
    from alert
    group by subject
)

select coalesce(subject_now.subject, standing.subject) as subject
from subject_now
full join standing on subject_now.subject = standing.subject
left join over on subject_now.subject = over.subject
where
    case
        when standing.subject is null then over.last_seen is null or subject_now.last_seen > over.last_seen
        when subject_now.subject is null or standing.state = 'pending' then true
        else
            subject_now.last_seen < $reached::timestamptz - to_seconds(subject_now.kept_s)
            or subject_now.severity <> standing.severity
            or subject_now.accounts > standing.accounts
            or subject_now.score <> standing.score
            or subject_now.last_seen <> standing.last_seen
            or subject_now.within is distinct from standing.within
    end
order by subject
"""  # noqa: S608 - literals


def due_subjects(tx: Tx, rules: RuleSet | None, reached: datetime) -> Collection[str]:
    """Keys of subjects that have no alert and may get one, and of those whose alert may have to change or end.

    Args:
        tx: the transaction at hand.
        rules: those with ``alert: match`` alert by themselves. Alerts of one whose files cannot be read are left out.
        reached: event time up to which everything is known.
    """
    alerting = [] if rules is None else [rule for rule in rules if rule.meta.alert == "match"]
    rows = tx.execute(
        _DUE,
        {
            "rules": [rule.rule_id for rule in alerting],
            "at": [rule.meta.alert_at for rule in alerting],
            "severities": [rule.meta.severity for rule in alerting],
            "kept_s": [rule.meta.keep_firing_for.total_seconds() for rule in alerting],
            "kept_by_default_s": KEEP_FIRING.total_seconds(),
            "missing": sorted(rules.missing) if rules is not None else [],
            "pipeline": PIPELINE,
            "reached": reached,
        },
    ).fetchall()
    return [row[0] for row in rows]
