"""PagerDuty Events API v2: an alert triggers, and resolves, one incident.

Source: PagerDuty developer documentation, "Send an Alert Event". Limits: a dedup_key of 255 characters, a summary of
1,024, an event of 512 KB.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pipeline.delivery.bodies.native import AlertBody
from pipeline.delivery.bodies.text import shortened

MAX_SUMMARY: Final = 1024
_ACTION: Final = {"alert.acknowledged": "acknowledge", "alert.resolved": "resolve"}
_SEVERITY: Final = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}


def pagerduty(event: AlertBody, *, routing_key: str) -> bytes:
    """One event. The alert's id is the dedup_key: all that is said of one alert goes to one incident.

    Args:
        event: what happened.
        routing_key: the integration's key; it stands in the body, so the body is as secret as it is.
    """
    data = event.data
    body: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": _ACTION.get(event.type, "trigger"),
        "dedup_key": data.alert_id,
    }
    if body["event_action"] == "trigger":
        body |= {
            "client": "Stillwatch",
            "payload": {
                "summary": shortened(f"{data.title}: {data.summary}", MAX_SUMMARY),
                "source": data.campaign_id or (data.account_ids[0] if data.account_ids else data.rule),
                "severity": _SEVERITY[data.severity],
                "timestamp": event.timestamp,
                "class": data.rule,
                "group": data.campaign_id or data.rule,
                "custom_details": {
                    "accounts": data.accounts,
                    "account_ids": data.account_ids,
                    "account_ids_truncated": data.account_ids_truncated,
                    "score": data.score,
                    "reasons": data.reasons,
                    "first_seen": data.first_seen,
                    "last_seen": data.last_seen,
                    "evidence_sql": data.evidence_sql,
                },
            },
        }
    return msgspec.json.encode(body)
