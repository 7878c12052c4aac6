"""The native body of a webhook: JSON, version 1. Every other body is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from pipeline.delivery.bodies.text import shortened

EventType = Literal[
    "alert.opened", "alert.updated", "alert.acknowledged", "alert.repeated", "alert.resolved", "alert.reopened"
]
BODY_VERSION: Final = 1
MAX_TEXT: Final = 2000  # characters of a text
MAX_GROUPED: Final = 100  # alerts of a group that are told in full


_SEVERITIES: Final = ("low", "medium", "high", "critical")


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

    @property
    def over(self) -> bool:
        """The alert is: nothing more is said of it until it opens again."""
        return self.type == "alert.resolved"


class GroupData(msgspec.Struct, frozen=True):
    """Several alerts in one message: ``count`` of them, the worst MAX_GROUPED in full, each as it would come alone."""

    group_id: str
    group: str
    seq: int
    count: int
    firing: int
    resolved: int
    truncated: int
    alerts: Sequence[AlertBody]


class GroupBody(msgspec.Struct, frozen=True):
    """One webhook's body for several alerts."""

    type: Literal["alerts.grouped"]
    version: int
    timestamp: datetime
    data: GroupData


def native(event: AlertBody) -> bytes:
    """As it is."""
    return msgspec.json.encode(event)


def read_native(text: str | bytes) -> AlertBody:
    """What ``native`` wrote."""
    return msgspec.json.decode(text, type=AlertBody)


def group_body(events: Sequence[AlertBody], *, group: str, group_id: str, seq: int, now: datetime) -> bytes:
    """Several events as one, the worst first.

    Args:
        events: one an alert.
        group: what they have in common, for people.
        group_id: the same for all messages of one group.
        seq: which message of the group it is, from 0.
        now: when it is made.
    """
    worst_first = sorted(events, key=lambda event: (-_SEVERITIES.index(event.data.severity), event.data.alert_id))
    resolved = sum(event.over for event in events)
    shown = worst_first[:MAX_GROUPED]
    data = GroupData(
        group_id=group_id,
        group=shortened(group, MAX_TEXT),
        seq=seq,
        count=len(events),
        firing=len(events) - resolved,
        resolved=resolved,
        truncated=len(events) - len(shown),
        alerts=shown,
    )
    return msgspec.json.encode(GroupBody("alerts.grouped", BODY_VERSION, now, data))


def read_group(text: str | bytes) -> GroupBody | None:
    """What ``group_body`` wrote; None: it is the event of one alert."""
    if msgspec.json.decode(text, type=_Typed).type != "alerts.grouped":
        return None
    return msgspec.json.decode(text, type=GroupBody)


class _Typed(msgspec.Struct):
    type: str


def limited(data: AlertData) -> AlertData:
    """The same with its texts no longer than MAX_TEXT."""
    return msgspec.structs.replace(
        data,
        title=shortened(data.title, MAX_TEXT),
        summary=shortened(data.summary, MAX_TEXT),
        reasons=[shortened(reason, MAX_TEXT) for reason in data.reasons],
    )
