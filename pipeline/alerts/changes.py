"""The events of alerts that one pass makes, as rows; nothing is written here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from pipeline.alerts.subjects import Subject, worse
from pipeline.delivery.bodies import BODY_VERSION, AlertBody, AlertData, EventType, limited, native
from pipeline.delivery.endpoints import Told
from pipeline.rules.model import Severity

State = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class AlertChange:
    """One event of an alert."""

    alert_id: str
    type: EventType
    severity: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as stored. Read from there, ``subject`` is as it was last written, without accounts and reasons."""

    alert_id: str
    subject: Subject
    severity: Severity
    state: State
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    pending_since: datetime | None  # event time
    firing_since: datetime | None
    seq: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of ``alert_event``, and the body for the outbox."""

    change: AlertChange
    seq: int
    accounts: int
    score: float
    body: str
    told: Told  # what of it decides who is told


def new_alert_id(key: str, times: int) -> str:
    """The id of a subject's alert after ``times`` earlier ones."""
    return "alt_" + hashlib.sha256(f"{key}|{times}".encode()).hexdigest()[:16]


def message_id(alert_id: str, seq: int) -> str:
    """The webhook id of one event: the same on every try, and after a transaction that was repeated."""
    return "msg_" + hashlib.sha256(f"{alert_id}|{seq}".encode()).hexdigest()[:24]


@dataclass(slots=True)
class Changes:
    """Collects the rows of one pass."""

    now: datetime
    alerts: list[Alert] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)  # ids of alerts that waited, and never came to be

    @property
    def made(self) -> list[AlertChange]:
        """What happened, in order."""
        return [row.change for row in self.events]

    def wait(self, subject: Subject, times: int, watermark: datetime) -> None:
        """A subject that must last before it is told is seen for the first time."""
        alert_id = new_alert_id(subject.key, times)
        self.alerts.append(
            Alert(alert_id, subject, subject.severity, "pending", self.now, self.now, None, watermark, None, -1)
        )

    def forget(self, alert: Alert) -> None:
        """It did not last."""
        self.forgotten.append(alert.alert_id)

    def open(self, subject: Subject, times: int, waited: Alert | None = None) -> None:
        """A subject is told that has no open alert, and had ``times`` before; ``waited``: what it was until now."""
        alert_id = waited.alert_id if waited else new_alert_id(subject.key, times)
        since = waited.pending_since if waited else None
        alert = Alert(alert_id, subject, subject.severity, "firing", self.now, self.now, None, since, self.now, 0)
        self._tell("alert.opened", alert)

    def reopen(self, alert: Alert, subject: Subject) -> None:
        """What was over a short while ago goes on: the same alert."""
        self._tell(
            "alert.reopened",
            replace(
                alert,
                subject=subject,
                severity=subject.severity,
                state="firing",
                updated_at=self.now,
                resolved_at=None,
                firing_since=self.now,
                seq=alert.seq + 1,
            ),
        )

    def update(self, alert: Alert, subject: Subject) -> None:
        """The evidence has grown and a person should know. Severity only rises."""
        severity = subject.severity if worse(subject.severity, alert.severity) else alert.severity
        self._tell(
            "alert.updated",
            replace(alert, subject=subject, severity=severity, updated_at=self.now, seq=alert.seq + 1),
        )

    def note(self, alert: Alert, subject: Subject) -> None:
        """Keep the row current without telling anybody; the count of accounts stays as it was told."""
        self.alerts.append(replace(alert, subject=subject.with_accounts(alert.subject.accounts)))

    def acknowledge(self, alert: Alert, subject: Subject) -> None:
        """Somebody has it in hand."""
        self._tell(
            "alert.acknowledged",
            replace(alert, subject=subject, updated_at=self.now, seq=alert.seq + 1),
            state="acknowledged",
        )

    def resolve(self, alert: Alert, subject: Subject) -> None:
        """The subject is quiet or gone, or a person says so."""
        self._tell(
            "alert.resolved",
            replace(
                alert,
                subject=subject,
                state="resolved",
                updated_at=self.now,
                resolved_at=self.now,
                seq=alert.seq + 1,
            ),
        )

    def _tell(self, kind: EventType, alert: Alert, *, state: str | None = None) -> None:
        subject = alert.subject
        self.alerts.append(alert)
        data = AlertData(
            alert_id=alert.alert_id,
            seq=alert.seq,
            rule=subject.rule_id,
            severity=alert.severity,
            state=state or alert.state,
            campaign_id=subject.campaign_id,
            title=subject.title,
            summary=subject.summary,
            score=round(subject.score, 6),
            accounts=subject.accounts,
            account_ids=list(subject.shown),
            account_ids_truncated=subject.accounts > len(subject.shown),
            reasons=list(subject.reasons),
            evidence_sql=subject.evidence_sql,
            first_seen=subject.first_seen,
            last_seen=subject.last_seen,
        )
        body = native(AlertBody(kind, BODY_VERSION, self.now, limited(data))).decode()
        change = AlertChange(alert.alert_id, kind, alert.severity, message_id(alert.alert_id, alert.seq))
        told = Told(rule=subject.rule_id, severity=alert.severity, dimension=subject.dimension, tags=subject.tags)
        self.events.append(EventRow(change, alert.seq, subject.accounts, subject.score, body, told))
