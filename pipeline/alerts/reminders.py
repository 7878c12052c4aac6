"""Reminders: an alert that fires and that nobody took on is told again, to endpoints that want it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from pipeline.alerts.changes import message_id
from pipeline.alerts.tables import insert_messages, message_row
from pipeline.delivery.bodies import native, read_native
from pipeline.delivery.endpoints import Endpoints
from pipeline.detect.tables import WriteTx


def remind(tx: WriteTx, now: datetime, endpoints: Endpoints) -> int:
    """Write a reminder, held, of each alert that fires and that nobody took on, for endpoints that want them.

    It is due ``repeat_every`` after the endpoint last took something about the alert, whenever that was written. What
    is still under way is waited for. What was given up counts for nothing, except that a reminder is not written again
    sooner than after one that was taken.
    """
    written = 0
    for name, endpoint in endpoints.by_name.items():
        if endpoint.repeat_every_s is None:
            continue
        rows = tx.execute(
            """
            with word as (
                select
                    outbox.alert_id,
                    outbox.seq,
                    outbox.created_at,
                    outbox.type,
                    outbox.body,
                    -- What is told in a group has come as far as the group's message.
                    coalesce(whole.state, outbox.state) as state,
                    coalesce(whole.delivered_at, outbox.delivered_at) as delivered_at
                from outbox
                inner join alerts on outbox.alert_id = alerts.alert_id
                left join outbox as whole
                    on outbox.told_in = whole.message_id and outbox.endpoint = whole.endpoint
                where outbox.endpoint = $endpoint and alerts.state = 'firing'
            )

            select
                alert_id,
                max(seq),
                arg_max(body, (seq, created_at)),
                count(*)
            from word
            group by alert_id
            having
                bool_and(state not in ('held', 'pending'))
                and max(delivered_at) <= $before
                and coalesce(max(created_at) filter (where type = 'alert.repeated') <= $before, true)
            order by alert_id
            """,
            {"endpoint": name, "before": now - timedelta(seconds=endpoint.repeat_every_s)},
        ).fetchall()
        if rows:
            insert_messages(tx, [_reminder(name, row, now) for row in rows])
            written += len(rows)
    return written


def _reminder(endpoint: str, row: tuple[str, int, str, int], now: datetime) -> Mapping[str, object]:
    alert_id, seq, body, times = row
    event = msgspec.structs.replace(read_native(body), type="alert.repeated", timestamp=now)
    return message_row(
        message_id(f"{alert_id}|{endpoint}|again", times),
        alert_id,
        seq,
        endpoint,
        native(event).decode(),
        "alert.repeated",
        "held",
        now,
    )
