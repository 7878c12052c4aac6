"""OCSF: a Detection Finding (class 2004) of category Findings.

Source: Open Cybersecurity Schema Framework 1.4.0, class detection_finding.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from pipeline.delivery.bodies.native import AlertBody

OCSF_VERSION: Final = "1.4.0"
_CLASS: Final = 2004
_SEVERITY: Final = {"low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}
_ACTIVITY: Final = {
    "alert.opened": (1, "Create"),
    "alert.updated": (2, "Update"),
    "alert.acknowledged": (2, "Update"),
    "alert.repeated": (2, "Update"),
    "alert.reopened": (2, "Update"),
    "alert.resolved": (3, "Close"),
}
_STATUS: Final = {"alert.acknowledged": (2, "In Progress"), "alert.resolved": (4, "Resolved")}


def ocsf(event: AlertBody, *, version: str) -> bytes:
    """One finding; all that is said of one alert has one ``finding_info.uid``.

    Args:
        event: what happened.
        version: Stillwatch's.
    """
    data = event.data
    activity, activity_name = _ACTIVITY[event.type]
    status, status_name = _STATUS.get(event.type, (1, "New"))
    severity, severity_name = _SEVERITY[data.severity]
    return msgspec.json.encode(
        {
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": 2,
            "category_name": "Findings",
            "class_uid": _CLASS,
            "class_name": "Detection Finding",
            "type_uid": 100 * _CLASS + activity,
            "type_name": f"Detection Finding: {activity_name}",
            "time": _ms(event.timestamp),
            "severity_id": severity,
            "severity": severity_name,
            "status_id": status,
            "status": status_name,
            "confidence_score": round(100 * data.score),
            "message": data.summary,
            "count": data.accounts,
            "start_time": _ms(data.first_seen),
            "end_time": _ms(data.last_seen),
            "metadata": {
                "version": OCSF_VERSION,
                "product": {"name": "Stillwatch", "vendor_name": "Stillwatch", "version": version},
                "uid": f"{data.alert_id}/{data.seq}",
                "sequence": data.seq,
            },
            "finding_info": {
                "uid": data.alert_id,
                "title": data.title,
                "desc": data.summary,
                "types": ["Model distillation"],
                "first_seen_time": _ms(data.first_seen),
                "last_seen_time": _ms(data.last_seen),
                "modified_time": _ms(event.timestamp),
                "analytic": {"type_id": 1, "type": "Rule", "uid": data.rule, "name": data.rule},
            },
            "resources": [{"type": "API account", "uid": account} for account in data.account_ids],
            "unmapped": {
                "campaign_id": data.campaign_id,
                "account_ids_truncated": data.account_ids_truncated,
                "reasons": data.reasons,
                "evidence_sql": data.evidence_sql,
            },
        }
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
