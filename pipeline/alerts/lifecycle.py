"""One alert a subject while it lasts: pending, firing, over; told when it opens, grows, goes on after a pause, ends.

Alert, history and outbox are written in the caller's transaction, the one that saw the evidence. Ids are functions of
the subject and of how often it alerted before, so a transaction that is rolled back and repeated gives the same ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pipeline import logs
from pipeline.alerts.changes import Alert, AlertChange, Changes
from pipeline.alerts.due import due_subjects
from pipeline.alerts.pipeline_rules import PipelineLook
from pipeline.alerts.subjects import Subject, current_subjects, worse
from pipeline.alerts.tables import (
    UPDATE_EVERY,
    count_firing,
    growth_is_due,
    last_alerts,
    standing_alerts,
    standing_of_pipeline,
    write_changes,
)
from pipeline.delivery.endpoints import Endpoints
from pipeline.detect import DetectionResult
from pipeline.detect.tables import WriteTx
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet

REOPENS_WITHIN: Final = timedelta(hours=24)  # of event time between its last evidence and the new; later it is another

_log = logs.get("alerts")


def update_alerts(
    tx: WriteTx,
    result: DetectionResult,
    *,
    now: datetime,
    endpoints: Endpoints,
    metrics: Metrics,
    rules: RuleSet | None = None,
) -> tuple[AlertChange, ...]:
    """Bring alerts in line with what stands in the store after ``result``'s pass.

    Does nothing when no rule was due, unless a campaign has grown since it was told, too soon after that to be told
    then. Doing it again in the same state changes nothing. What is to be told is written as held; ``release`` sends it
    on its way.

    Args:
        tx: the transaction that ``result`` was made in.
        result: of ``Detector.run``.
        now: wall time, UTC, aware; what updates are limited by and events are stamped with.
        endpoints: whom messages are written for.
        metrics: counts what opens.
        rules: those with ``alert: match`` alert by themselves; None: none does. Alerts of one whose files cannot be
            read stay as they are.
    """
    if not result.evaluated and not growth_is_due(tx, now):
        return ()
    keys = due_subjects(tx, rules, result.watermark)
    changes = Changes(now)
    if keys:
        standing, last = standing_alerts(tx, keys), last_alerts(tx, keys)
        _bring(changes, current_subjects(tx, rules, keys), standing, last, result.watermark)
    tell(tx, changes, endpoints, metrics)
    return tuple(changes.made)


def update_pipeline_alerts(
    tx: WriteTx, found: PipelineLook, *, now: datetime, endpoints: Endpoints, metrics: Metrics
) -> tuple[AlertChange, ...]:
    """Bring alerts about the pipeline itself in line with a look at it; wall time stands where event time stood.

    Doing it again in the same state tells nothing twice. Alerts of a rule that is disabled end, as those of any rule
    do; those of one that failed stay as they are.
    """
    standing = {
        key: alert for key, alert in standing_of_pipeline(tx).items() if alert.subject.rule_id not in found.failed
    }
    changes = Changes(now)
    if standing or found.subjects:
        last = last_alerts(tx, [*standing, *found.subjects])
        _bring(changes, found.subjects, standing, last, now)
        tell(tx, changes, endpoints, metrics)
    return tuple(changes.made)


def _bring(
    changes: Changes,
    subjects: Mapping[str, Subject],
    standing: Mapping[str, Alert],
    last: Mapping[str, tuple[int, Alert]],
    reached: datetime,
) -> None:
    for key, alert in standing.items():
        _go_on(changes, alert, subjects.get(key), reached)
    for key, subject in subjects.items():
        if key not in standing:
            _begin(changes, subject, last.get(key), reached)


def tell(tx: WriteTx, changes: Changes, endpoints: Endpoints, metrics: Metrics) -> None:
    """Write what changed, and say so to the log and the metrics."""
    write_changes(tx, changes, endpoints)
    metrics.set("alerts_open", count_firing(tx))
    for row in changes.events:
        change = row.change
        if change.type == "alert.opened":
            metrics.count("alerts_opened", rule=row.told.rule, severity=change.severity)
        _log.info(
            change.type.replace(".", "_"), alert_id=change.alert_id, severity=change.severity, message=change.message_id
        )


def _go_on(changes: Changes, alert: Alert, subject: Subject | None, watermark: datetime) -> None:
    over = subject is None or subject.last_seen < watermark - subject.keep_firing_for
    if alert.state == "pending":
        if over or subject is None:
            changes.forget(alert)
        elif watermark - (alert.pending_since or watermark) >= subject.pending_for:
            changes.open(subject, 0, waited=alert)
    elif over or subject is None:
        changes.resolve(alert, subject or alert.subject)
    else:
        _update(changes, alert, subject)


def _begin(changes: Changes, subject: Subject, before: tuple[int, Alert] | None, watermark: datetime) -> None:
    times, last = before or (0, None)
    if last is not None and subject.last_seen <= last.subject.last_seen:
        return  # told, and over
    if last is not None and subject.last_seen - last.subject.last_seen <= REOPENS_WITHIN:
        changes.reopen(last, subject)
    elif subject.pending_for:
        changes.wait(subject, times, watermark)
    else:
        changes.open(subject, times)


def _update(changes: Changes, alert: Alert, subject: Subject) -> None:
    raised = worse(subject.severity, alert.severity)
    grown = subject.accounts > alert.subject.accounts
    now = (subject.last_seen, subject.score, subject.within)
    if raised or (grown and changes.now - alert.updated_at >= UPDATE_EVERY):
        changes.update(alert, subject)
    elif now != (alert.subject.last_seen, alert.subject.score, alert.subject.within):
        changes.note(alert, subject)
