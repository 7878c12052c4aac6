"""The native body of a webhook: JSON, version 1."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from pipeline.alerts.subjects import Subject

EventType = Literal["alert.opened", "alert.updated", "alert.resolved"]
BODY_VERSION = 1
MAX_TEXT = 2000


class AlertData(msgspec.Struct, frozen=True):
    """What the event is about. ``account_ids`` lists some; ``accounts`` counts all."""

    alert_id: str
    seq: int
    rule: str
    severity: str
    state: str
    campaign_id: str | None
    title: str
    summary: str
    score: float
    accounts: int
    account_ids: Sequence[str]
    account_ids_truncated: bool
    reasons: Sequence[str]
    evidence_sql: str
    first_seen: datetime
    last_seen: datetime


class AlertBody(msgspec.Struct, frozen=True):
    """One webhook's body."""

    type: EventType
    version: int
    timestamp: datetime
    data: AlertData


def alert_body(
    kind: EventType, subject: Subject, *, alert_id: str, seq: int, severity: str, state: str, now: datetime
) -> str:
    """The JSON text that is stored in the outbox and sent, byte for byte, on every try."""
    body = AlertBody(
        kind,
        BODY_VERSION,
        now,
        AlertData(
            alert_id=alert_id,
            seq=seq,
            rule=subject.rule_id,
            severity=severity,
            state=state,
            campaign_id=subject.campaign_id,
            title=subject.title[:MAX_TEXT],
            summary=subject.summary[:MAX_TEXT],
            score=round(subject.score, 6),
            accounts=subject.accounts,
            account_ids=list(subject.shown),
            account_ids_truncated=subject.accounts > len(subject.shown),
            reasons=[reason[:MAX_TEXT] for reason in subject.reasons],
            evidence_sql=subject.evidence_sql,
            first_seen=subject.first_seen,
            last_seen=subject.last_seen,
        ),
    )
    return msgspec.json.encode(body).decode()
