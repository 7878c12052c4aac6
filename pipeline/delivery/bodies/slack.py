"""Slack: an incoming webhook's message in blocks.

Source: Slack developer documentation, "Block Kit: reference" and "Formatting text". Limits: a header of 150
characters, a section's text of 3,000, ten fields of 2,000 each; &, < and > are escaped, so that nothing from data
becomes a link or a mention.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pipeline.delivery.bodies.native import AlertBody, GroupBody
from pipeline.delivery.bodies.text import shortened

MAX_HEADER: Final = 150
MAX_SECTION: Final = 3000
MAX_FIELD: Final = 2000
MAX_LISTED: Final = 40  # alerts of a group; a message takes 50 blocks
_DONE: Final = {
    "alert.opened": "New",
    "alert.updated": "Grown",
    "alert.acknowledged": "In hand",
    "alert.repeated": "Still there",
    "alert.resolved": "Over",
    "alert.reopened": "Back again",
}


def slack(event: AlertBody) -> bytes:
    """One message. ``text`` is what a notification shows."""
    data = event.data
    headline = f"{_DONE[event.type]}: {data.title} ({data.severity})"
    accounts = ", ".join(data.account_ids) + (" …" if data.account_ids_truncated else "")
    fields = {
        "Accounts": f"{data.accounts}: {accounts}" if accounts else str(data.accounts),
        "Score": f"{data.score:.2f}",
        "Seen": f"{data.first_seen:%Y-%m-%d %H:%M} to {data.last_seen:%Y-%m-%d %H:%M} UTC",
        "Alert": data.alert_id,
    }
    return msgspec.json.encode(
        {
            "text": _within(headline, MAX_SECTION),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": shortened(headline, MAX_HEADER)}},
                *_section(data.summary),
                {
                    "type": "section",
                    "fields": [
                        {"type": "mrkdwn", "text": f"*{name}*\n{_within(text, MAX_FIELD - len(name) - 3)}"}
                        for name, text in fields.items()
                    ],
                },
                *(block for reason in data.reasons[1:4] for block in _section(f"• {reason}")),
                *_section(data.evidence_sql, code=True),
            ],
        }
    )


def slack_group(group: GroupBody) -> bytes:
    """One message for several alerts, a line each."""
    data = group.data
    headline = f"{data.count} alerts: {data.firing} firing, {data.resolved} over ({data.group})"
    listed = data.alerts[:MAX_LISTED]
    left = data.count - len(listed)
    return msgspec.json.encode(
        {
            "text": _within(headline, MAX_SECTION),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": shortened(headline, MAX_HEADER)}},
                *(
                    block
                    for event in listed
                    for block in _section(
                        f"{_DONE[event.type]}: {event.data.title} ({event.data.severity}). {event.data.summary} "
                        f"[{event.data.alert_id}]"
                    )
                ),
                *(_section(f"and {left} more: stillwatch alerts list") if left else ()),
            ],
        }
    )


def _section(text: str, *, code: bool = False) -> list[dict[str, object]]:
    """One section; none where there is nothing to say: an empty one is refused with all of the message."""
    if not text.strip():
        return []
    # A backtick within could end what is shown as code.
    mark = "```" if code and "`" not in text else ""
    inner = _within(text, MAX_SECTION - 2 * len(mark))
    return [{"type": "section", "text": {"type": "mrkdwn", "text": f"{mark}{inner}{mark}"}}]


def _within(text: str, limit: int) -> str:
    """Escaped, and no longer than ``limit`` when it is: escaping makes it longer."""
    room = limit
    while len(escaped := _escaped(shortened(text, room))) > limit:
        room -= len(escaped) - limit
    return escaped


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
