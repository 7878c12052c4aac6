"""One message to one endpoint, now: whether it would take an alert."""

from __future__ import annotations

import secrets
from datetime import timedelta

from pipeline.clock import SystemClock
from pipeline.delivery.bodies import BODY_VERSION, AlertBody, AlertData, native
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint
from pipeline.delivery.outbox import DueMessage, Outcome
from pipeline.delivery.sender import Sender
from pipeline.metrics import Metrics


def try_endpoint(name: str, endpoint: Endpoint, reach: Reach) -> Outcome:
    """Send an alert that says that it is none, in the endpoint's format, and then that it is over.

    Blocks for at most twice the endpoint's timeout. Returns how the first went.
    """
    clock = SystemClock()
    now = clock.now()
    mark = secrets.token_hex(8)
    data = AlertData(
        alert_id=f"alt_test_{mark}",
        seq=0,
        rule="test",
        severity="low",
        state="firing",
        campaign_id=None,
        title="A test by `stillwatch webhooks test`",
        summary="Nothing happened. Whoever reads this is told of alerts.",
        score=0.0,
        accounts=0,
        account_ids=[],
        account_ids_truncated=False,
        reasons=[],
        evidence_sql="select 1",
        first_seen=now - timedelta(minutes=1),
        last_seen=now,
    )
    resting = endpoint.model_copy(update={"paused": False})
    with Sender(name, resting, reach, clock, Metrics()) as sender:
        opened = AlertBody("alert.opened", BODY_VERSION, now, data)
        [first] = sender.send([DueMessage(f"msg_test_{mark}0", name, native(opened).decode(), 0)])
        if first.verdict == "delivered":
            over = AlertBody("alert.resolved", BODY_VERSION, now, data)
            sender.send([DueMessage(f"msg_test_{mark}1", name, native(over).decode(), 0)])
    return first
