"""The events of alerts that one pass makes, as rows; nothing is written here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.alerts.body import EventType, alert_body
from pipeline.alerts.subjects import Subject, worse
from pipeline.rules.model import Severity


@dataclass(frozen=True, slots=True)
class AlertChange:
    """One event of an alert."""

    alert_id: str
    type: EventType
    severity: str
    message_id: str


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An open alert as stored; ``subject`` is as it was last written, without the list of accounts."""

    alert_id: str
    subject: Subject
    severity: Severity
    opened_at: datetime
    updated_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """A row of ``alert`` to be written in place of what stands there."""

    alert_id: str
    subject: Subject
    severity: Severity
    state: str
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    seq: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of ``alert_event``, and the body for the outbox."""

    change: AlertChange
    seq: int
    accounts: int
    score: float
    body: str


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
    alerts: list[AlertRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)

    @property
    def made(self) -> list[AlertChange]:
        """What happened, in order."""
        return [row.change for row in self.events]

    def open(self, subject: Subject, times: int) -> None:
        """A subject alerts that has no open alert, and had ``times`` before."""
        alert_id = new_alert_id(subject.key, times)
        self.alerts.append(AlertRow(alert_id, subject, subject.severity, "open", self.now, self.now, None, 0))
        self._tell("alert.opened", alert_id, subject, severity=subject.severity, seq=0, state="open")

    def update(self, alert: StoredAlert, subject: Subject) -> None:
        """The evidence has grown and a person should know. Severity only rises."""
        severity = subject.severity if worse(subject.severity, alert.severity) else alert.severity
        seq = alert.seq + 1
        self.alerts.append(AlertRow(alert.alert_id, subject, severity, "open", alert.opened_at, self.now, None, seq))
        self._tell("alert.updated", alert.alert_id, subject, severity=severity, seq=seq, state="open")

    def note(self, alert: StoredAlert, subject: Subject) -> None:
        """Keep the row current without telling anybody; the count of accounts stays as it was told."""
        told = alert.subject.accounts
        self.alerts.append(
            AlertRow(
                alert.alert_id,
                subject.with_accounts(told),
                alert.severity,
                "open",
                alert.opened_at,
                alert.updated_at,
                None,
                alert.seq,
            )
        )

    def resolve(self, alert: StoredAlert, subject: Subject) -> None:
        """The subject is quiet or gone."""
        seq = alert.seq + 1
        self.alerts.append(
            AlertRow(alert.alert_id, subject, alert.severity, "resolved", alert.opened_at, self.now, self.now, seq)
        )
        self._tell("alert.resolved", alert.alert_id, subject, severity=alert.severity, seq=seq, state="resolved")

    def _tell(
        self, kind: EventType, alert_id: str, subject: Subject, *, severity: Severity, seq: int, state: str
    ) -> None:
        body = alert_body(kind, subject, alert_id=alert_id, seq=seq, severity=severity, state=state, now=self.now)
        change = AlertChange(alert_id, kind, severity, message_id(alert_id, seq))
        self.events.append(EventRow(change, seq, subject.accounts, subject.score, body))
