"""Sends what is due in the outbox. Only the store's writer reads and marks rows; sending itself touches no store.

So a loop takes ``due`` from its transaction, hands the messages to ``Deliverer.deliver`` in a thread, and marks the
outcomes in a later transaction. Killed in between, the message is sent again with the same id: at least once, and a
receiver that remembers ids has it exactly once.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from pipeline import faults, logs
from pipeline.alerts.retry import LONGEST_WAIT, Verdict, next_attempt, retry_after_s, verdict
from pipeline.alerts.signing import check_secret, signed_headers
from pipeline.alerts.tables import endpoint_id
from pipeline.clock import Clock
from pipeline.config import WebhookSettings
from pipeline.delivery.destination import DestinationError, Reach, check_url
from pipeline.delivery.post import NoAnswerError, Poster
from pipeline.metrics import Metrics
from pipeline.rules.run import Tx

BATCH: Final = 100

_log = logs.get("alerts")


@dataclass(frozen=True, slots=True)
class DueMessage:
    """One outbox row whose time has come."""

    message_id: str
    endpoint: str
    body: str
    attempts: int


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

        select message_id, endpoint, body, attempts
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


def mark_outcomes(tx: Tx, outcomes: Iterable[Outcome]) -> None:
    """Write how tries ended. A receiver that is gone takes all that still waits for it along.

    Marking twice changes nothing: a message that is no longer pending is left as it is.
    """
    for outcome in outcomes:
        state = {"delivered": "delivered", "retry": "pending", "failed": "failed", "gone": "disabled"}[outcome.verdict]
        if outcome.verdict == "retry" and outcome.next_attempt_at is None:
            state = "failed"
        tx.execute(
            "update outbox set state = $state, attempts = $attempts, last_status = $status, last_error = $error, "
            "next_attempt_at = coalesce($next, next_attempt_at), "
            "delivered_at = if($state = 'delivered', $at, delivered_at) "
            "where message_id = $id and endpoint = $endpoint and state = 'pending'",
            {
                "state": state,
                "attempts": outcome.attempts,
                "status": outcome.status,
                "error": outcome.error,
                "next": outcome.next_attempt_at,
                "at": outcome.at,
                "id": outcome.message_id,
                "endpoint": outcome.endpoint,
            },
        )
        if outcome.verdict == "gone":
            _disable(tx, outcome)


def _disable(tx: Tx, outcome: Outcome) -> None:
    where = {"endpoint": outcome.endpoint}
    tx.execute("update outbox set state = 'disabled' where endpoint = $endpoint and state = 'pending'", where)
    tx.execute("delete from webhook_endpoint where endpoint = $endpoint", where)
    tx.execute(
        "insert into webhook_endpoint (endpoint, disabled_at, reason) values ($endpoint, $at, '410 Gone')",
        {**where, "at": outcome.at},
    )


@dataclass(slots=True)
class Deliverer:
    """Posts messages to the configured receiver. One thread; blocks for at most the timeout a message.

    What it may connect to, and how one try goes, is ``Poster``'s.
    """

    settings: WebhookSettings
    clock: Clock
    metrics: Metrics
    # Jitter needs no secrecy.
    rng: random.Random = field(default_factory=random.Random)
    _poster: Poster | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Raises DestinationError: the receiver's address is one that is never connected to."""
        if self.settings.secret is not None:
            check_secret(self.settings.secret)
        if self.settings.url is not None:
            reach = Reach.of(self.settings.allow, http=self.settings.allow_http)
            where = check_url(self.settings.url, reach)
            self._poster = Poster(where, reach, self.settings.timeout_s, self.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def endpoint(self) -> str | None:
        """What stands for the configured receiver in the store; None: there is none."""
        return None if self.settings.url is None else endpoint_id(self.settings.url)

    def close(self) -> None:
        """Close connections."""
        if self._poster is not None:
            self._poster.close()

    def deliver(self, messages: Sequence[DueMessage]) -> list[Outcome]:
        """Try each message once, in order; never raises for what a receiver does.

        When the receiver cannot be reached, the rest of the messages are left as they are: they are still due, and
        need not wait for a timeout each.
        """
        outcomes: list[Outcome] = []
        for message in messages:
            outcome = self._try(message)
            if outcome is None:
                continue
            outcomes.append(outcome)
            self.metrics.count("webhook_attempts", outcome=outcome.verdict)
            if outcome.verdict == "gone" or (outcome.verdict == "retry" and outcome.status is None):
                break
        return outcomes

    def _try(self, message: DueMessage) -> Outcome | None:
        secret = self.settings.secret
        if self._poster is None or secret is None or self.endpoint != message.endpoint:
            # Written for a receiver that is no longer configured: it waits until that one is back.
            return None
        attempts = message.attempts + 1
        headers = signed_headers(secret, message.message_id, message.body, self.clock.now())
        try:
            answer = self._poster.post(headers, message.body.encode())
        except (NoAnswerError, DestinationError) as error:
            return self._retry(message, attempts, None, error.message, None)
        found = verdict(answer.status)
        if found == "delivered":
            faults.hit("serve.sent")
        if found == "retry":
            asked = retry_after_s(answer.headers, self.clock.now())
            return self._retry(message, attempts, answer.status, f"HTTP {answer.status}", asked)
        error_text = None if found == "delivered" else f"HTTP {answer.status}"
        _log.info("webhook_tried", message=message.message_id, outcome=found, status=answer.status, attempts=attempts)
        return Outcome(
            message.message_id, message.endpoint, found, attempts, self.clock.now(), answer.status, error_text
        )

    def _retry(
        self, message: DueMessage, attempts: int, status: int | None, error: str, asked_s: float | None
    ) -> Outcome:
        now = self.clock.now()
        when = next_attempt(attempts, now, asked_s, self.rng)
        _log.warning("webhook_failed", message=message.message_id, error=error, attempts=attempts, next=str(when))
        return Outcome(message.message_id, message.endpoint, "retry", attempts, now, status, error, when)
