"""Prometheus Alertmanager: the webhook that it sends to others (version 4), and what its own API takes (v2).

Source: Prometheus documentation, "Alerting: configuration, webhook_config" and the API's OpenAPI description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pipeline.delivery.bodies.native import AlertBody, AlertData, GroupBody

# An alert that an Alertmanager is told nothing of it takes for over. Ours end when we say so, or after this.
LASTS: Final = timedelta(days=7)
_NEVER: Final = "0001-01-01T00:00:00Z"


def alertmanager_webhook(event: AlertBody, *, receiver: str) -> bytes:
    """The body that a receiver of Alertmanager's webhooks expects, with one alert.

    Args:
        event: what happened.
        receiver: the name of the endpoint.
    """
    key = {"alert_id": event.data.alert_id}
    return _webhook([event], receiver, key, f'{{}}:{{alert_id="{event.data.alert_id}"}}', 0)


def alertmanager_webhook_group(group: GroupBody, *, receiver: str) -> bytes:
    """The same with all the alerts of a group; it is firing while one of them is."""
    data = group.data
    return _webhook(
        data.alerts, receiver, {"group": data.group}, f'{{}}:{{group_id="{data.group_id}"}}', data.truncated
    )


def _webhook(
    events: Sequence[AlertBody], receiver: str, group_labels: Mapping[str, str], key: str, truncated: int
) -> bytes:
    alerts = [
        {
            "status": "resolved" if event.over else "firing",
            "labels": _labels(event.data),
            "annotations": _annotations(event.data),
            "startsAt": _time(event.data.first_seen),
            "endsAt": _time(event.timestamp) if event.over else _NEVER,
            "generatorURL": "",
            "fingerprint": hashlib.sha256(event.data.alert_id.encode()).hexdigest()[:16],
        }
        for event in events
    ]
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": key,
            "truncatedAlerts": truncated,
            "status": "resolved" if all(event.over for event in events) else "firing",
            "receiver": receiver,
            "groupLabels": group_labels,
            "commonLabels": _common([_labels(event.data) for event in events]),
            "commonAnnotations": _common([_annotations(event.data) for event in events]),
            "externalURL": "",
            "alerts": alerts,
        }
    )


def _common(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is the same in all."""
    return (
        {name: value for name, value in parts[0].items() if all(part.get(name) == value for part in parts[1:])}
        if parts
        else {}
    )


def alertmanager_alerts(event: AlertBody) -> bytes:
    """What ``POST /api/v2/alerts`` takes. What was told last holds: told again, an alert stays one."""
    return msgspec.json.encode(
        [
            {
                "labels": _labels(event.data),
                "annotations": _annotations(event.data),
                "startsAt": _time(event.data.first_seen),
                "endsAt": _time(event.timestamp if event.over else event.timestamp + LASTS),
            }
        ]
    )


def _labels(data: AlertData) -> dict[str, str]:
    """What makes it that alert: nothing that changes while it lasts, or it would be another one. So no severity."""
    labels = {"alertname": data.rule, "alert_id": data.alert_id, "service": "stillwatch"}
    return labels | ({"campaign_id": data.campaign_id} if data.campaign_id else {})


def _annotations(data: AlertData) -> dict[str, str]:
    return {
        "severity": data.severity,
        "summary": data.title,
        "description": data.summary,
        "accounts": str(data.accounts),
        "account_ids": ", ".join(data.account_ids) + (", …" if data.account_ids_truncated else ""),
        "score": f"{data.score:.4f}",
        "evidence_sql": data.evidence_sql,
    }


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
