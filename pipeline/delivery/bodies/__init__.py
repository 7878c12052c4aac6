"""What is sent: the native body, and what other systems take instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pipeline.delivery.bodies.alertmanager import alertmanager_alerts, alertmanager_webhook, alertmanager_webhook_group
from pipeline.delivery.bodies.native import (
    BODY_VERSION,
    MAX_GROUPED,
    AlertBody,
    AlertData,
    EventType,
    GroupBody,
    group_body,
    limited,
    native,
    read_group,
    read_native,
)
from pipeline.delivery.bodies.ocsf import ocsf
from pipeline.delivery.bodies.pagerduty import pagerduty
from pipeline.delivery.bodies.slack import slack, slack_group

Format = Literal["native", "topic", "alertmanager", "alertmanager-webhook", "pagerduty", "slack", "ocsf"]

__all__ = [
    "BODY_VERSION",
    "MAX_GROUPED",
    "AlertBody",
    "AlertData",
    "EventType",
    "Format",
    "GroupBody",
    "alertmanager_alerts",
    "alertmanager_webhook",
    "group_body",
    "limited",
    "native",
    "ocsf",
    "pagerduty",
    "read_group",
    "read_native",
    "rendered",
    "slack",
]


def rendered(body: str, form: Format, *, endpoint: str, routing_key: str, version: str) -> bytes:
    """A stored body as a receiver takes it; the same on every try.

    Args:
        body: what ``native`` or ``group_body`` wrote; the latter for the formats that take several alerts only.
        form: what the receiver takes.
        endpoint: its name, for those that ask who sent it.
        routing_key: PagerDuty's.
        version: Stillwatch's.
    """
    if form in {"native", "topic"}:
        return body.encode()
    group = read_group(body)
    if group is not None:
        if form == "slack":
            return slack_group(group)
        assert form == "alertmanager-webhook", form  # Endpoint lets no other format group
        return alertmanager_webhook_group(group, receiver=endpoint)
    event = read_native(body)
    others: Mapping[Format, Callable[[], bytes]] = {
        "alertmanager": lambda: alertmanager_alerts(event),
        "alertmanager-webhook": lambda: alertmanager_webhook(event, receiver=endpoint),
        "pagerduty": lambda: pagerduty(event, routing_key=routing_key),
        "slack": lambda: slack(event),
        "ocsf": lambda: ocsf(event, version=version),
    }
    return others[form]()
