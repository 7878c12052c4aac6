"""One alert a subject while it lasts: opened, updated when its evidence grows, resolved when it is quiet.

Alert, history and outbox are written in the caller's transaction, the one that saw the evidence. Ids are functions of
the subject and of how often it alerted before, so a transaction that is rolled back and repeated gives the same ids.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pipeline import logs
from pipeline.alerts.changes import AlertChange, Changes, StoredAlert
from pipeline.alerts.subjects import Subject, current_subjects, worse
from pipeline.alerts.tables import count_open, earlier_alerts, open_alerts, write_changes
from pipeline.config import Settings
from pipeline.detect import DetectionResult
from pipeline.detect.tables import WriteTx
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet

RESOLVE_AFTER: Final = timedelta(hours=1)  # of event time without new evidence
UPDATE_EVERY: Final = timedelta(minutes=5)  # updates of one alert, unless it became more severe

_log = logs.get("alerts")


def update_alerts(
    tx: WriteTx,
    result: DetectionResult,
    *,
    now: datetime,
    settings: Settings,
    metrics: Metrics,
    rules: RuleSet | None = None,
) -> tuple[AlertChange, ...]:
    """Bring alerts in line with what stands in the store after ``result``'s pass.

    Does nothing when no rule was due. Doing it again in the same state changes nothing.

    Args:
        tx: the transaction that ``result`` was made in.
        result: of ``Detector.run``.
        now: wall time, UTC, aware; what updates are limited by and events are stamped with.
        settings: whether there is a webhook to write outbox rows for.
        metrics: counts what opens.
        rules: those with ``alert: match`` alert by themselves; None: none does.
    """
    if not result.evaluated:
        return ()
    subjects = current_subjects(tx, rules)
    stored = open_alerts(tx)
    changes = Changes(now)
    for key, alert in stored.items():
        subject = subjects.get(key)
        if subject is None:
            changes.resolve(alert, alert.subject)
        elif subject.last_seen < result.watermark - RESOLVE_AFTER:
            changes.resolve(alert, subject)
        else:
            _update(changes, alert, subject, now)
    before = earlier_alerts(tx)
    for key, subject in subjects.items():
        times, told_until = before.get(key, (0, None))
        if key not in stored and (told_until is None or subject.last_seen > told_until):
            changes.open(subject, times)
            metrics.count("alerts_opened", rule=subject.rule_id, severity=subject.severity)
    write_changes(tx, changes, settings.webhook)
    metrics.set("alerts_open", count_open(tx))
    for change in changes.made:
        _log.info(
            change.type.replace(".", "_"), alert_id=change.alert_id, severity=change.severity, message=change.message_id
        )
    return tuple(changes.made)


def _update(changes: Changes, alert: StoredAlert, subject: Subject, now: datetime) -> None:
    raised = worse(subject.severity, alert.severity)
    grown = subject.accounts > alert.subject.accounts
    if raised or (grown and now - alert.updated_at >= UPDATE_EVERY):
        changes.update(alert, subject)
    elif (subject.last_seen, subject.score) != (alert.subject.last_seen, alert.subject.score):
        changes.note(alert, subject)
