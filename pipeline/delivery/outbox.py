"""What is due in the outbox, and how its tries ended. Only the store's writer reads and marks rows.

So a loop takes ``due`` from its transaction, hands the messages to a ``Sender`` in a thread, and marks the outcomes in
a later transaction. Killed in between, the message is sent again with the same id: at least once, and a receiver that
remembers ids has it exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.delivery.retry import LONGEST_WAIT, Verdict
from pipeline.rules.run import Tx

BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class DueMessage:
    """One outbox row whose time has come."""

    message_id: str
    endpoint: str
    body: str
    attempts: int
    alert_id: str = ""  # or that of its group: messages of one come in order


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one try ended. ``error`` is for a person and names no address."""

    message_id: str
    endpoint: str
    verdict: Verdict
    attempts: int
    at: datetime
    status: int | None = None
    error: str | None = None
    next_attempt_at: datetime | None = None
    response: str = ""  # the beginning of what the receiver answered, for support


def due(tx: Tx, now: datetime, *, endpoint: str | None = None, limit: int = BATCH) -> list[DueMessage]:
    """Messages to send now, oldest first; of one alert only the first that is not yet told, so that order holds.

    One that is to wait longer than any wait is was put off by a clock that has been set back since: it is due.

    Args:
        tx: a transaction or any cursor that sees the store's tables.
        now: wall time.
        endpoint: ``Deliverer.endpoint``: only what was written for the receiver that is configured now.
        limit: messages at most.
    """
    rows = tx.execute(
        """
        with next_of_alert as (
            select *
            from outbox
            where state = 'pending'
            qualify row_number() over (partition by alert_id, endpoint order by seq) = 1
        )

        select message_id, endpoint, body, attempts, alert_id
        from next_of_alert
        where
            (next_attempt_at <= $now or next_attempt_at > $farthest)
            and endpoint = coalesce($endpoint, endpoint)
        order by next_attempt_at, created_at, alert_id
        limit $limit
        """,
        {"now": now, "farthest": now + LONGEST_WAIT, "limit": limit, "endpoint": endpoint},
    ).fetchall()
    return [DueMessage(*row) for row in rows]


def pending(tx: Tx) -> int:
    """Messages not yet delivered or given up."""
    row = tx.execute("select count(*) from outbox where state = 'pending'").fetchone()
    return int(row[0]) if row else 0


def given_up(tx: Tx, endpoint: str, message_ids: Sequence[str] = ()) -> int:
    """Messages for an endpoint that are not tried any more, of these or of all."""
    row = tx.execute(
        "select count(*) from outbox where endpoint = $endpoint and state in ('failed', 'disabled') "
        "and (len($ids::varchar[]) = 0 or message_id in (select unnest($ids::varchar[])))",
        {"endpoint": endpoint, "ids": list(message_ids)},
    ).fetchone()
    return int(row[0]) if row else 0


def send_again(tx: Tx, endpoint: str, message_ids: Sequence[str], now: datetime) -> int:
    """Put messages that were given up back in line, with all of the schedule before them; return how many.

    An endpoint that said 410 Gone is taken for there again: somebody says so.
    """
    found = given_up(tx, endpoint, message_ids)
    tx.execute(
        "update outbox set state = 'pending', attempts = 0, next_attempt_at = $now where endpoint = $endpoint "
        "and state in ('failed', 'disabled') "
        "and (len($ids::varchar[]) = 0 or message_id in (select unnest($ids::varchar[])))",
        {"endpoint": endpoint, "ids": list(message_ids), "now": now},
    )
    tx.execute("delete from webhook_endpoint where endpoint = $endpoint", {"endpoint": endpoint})
    return found


def mark_outcomes(tx: Tx, outcomes: Iterable[Outcome]) -> None:
    """Write how tries ended. A receiver that is gone takes all that still waits for it along.

    Marking twice changes nothing: a message that is no longer pending is left as it is.
    """
    ended = list(outcomes)
    if not ended:
        return
    columns: dict[str, list[object]] = {
        "ids": [one.message_id for one in ended],
        "endpoints": [one.endpoint for one in ended],
        "states": [_state(one) for one in ended],
        "attempts": [one.attempts for one in ended],
        "statuses": [one.status for one in ended],
        "errors": [one.error for one in ended],
        "nexts": [one.next_attempt_at for one in ended],
        "responses": [one.response or None for one in ended],
        "times": [one.at for one in ended],
    }
    # All in one statement: 10,000 by themselves would take the writer a minute.
    tx.execute(
        """
        update outbox
        set
            state = ended.state,
            attempts = ended.attempts,
            last_status = ended.status,
            last_error = ended.error,
            next_attempt_at = coalesce(ended.next_attempt_at, outbox.next_attempt_at),
            last_response = ended.response,
            delivered_at = if(ended.state = 'delivered', ended.at, outbox.delivered_at)
        from (
            select
                unnest($ids::varchar[]) as message_id,
                unnest($endpoints::varchar[]) as endpoint,
                unnest($states::varchar[]) as state,
                unnest($attempts::bigint[]) as attempts,
                unnest($statuses::integer[]) as status,
                unnest($errors::varchar[]) as error,
                unnest($nexts::timestamptz[]) as next_attempt_at,
                unnest($responses::varchar[]) as response,
                unnest($times::timestamptz[]) as at
        ) as ended
        where
            outbox.message_id = ended.message_id
            and outbox.endpoint = ended.endpoint
            and outbox.state = 'pending'
        """,
        columns,
    )
    for outcome in ended:
        if outcome.verdict == "gone":
            _disable(tx, outcome)


def _state(outcome: Outcome) -> str:
    if outcome.verdict == "retry" and outcome.next_attempt_at is None:
        return "failed"
    return {"delivered": "delivered", "retry": "pending", "failed": "failed", "gone": "disabled"}[outcome.verdict]


def _disable(tx: Tx, outcome: Outcome) -> None:
    where = {"endpoint": outcome.endpoint}
    tx.execute("update outbox set state = 'disabled' where endpoint = $endpoint and state = 'pending'", where)
    tx.execute("delete from webhook_endpoint where endpoint = $endpoint", where)
    tx.execute(
        "insert into webhook_endpoint (endpoint, disabled_at, reason) values ($endpoint, $at, '410 Gone')",
        {**where, "at": outcome.at},
    )
