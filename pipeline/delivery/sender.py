"""Sends to one endpoint: in its format, signed with its secrets, at its pace, and not at all while it is down.

Sending touches no store. One thread at a time; an endpoint with ``at_once`` above 1 has so many connections.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from pipeline import __version__, faults, logs
from pipeline.clock import Clock
from pipeline.delivery.bodies import rendered
from pipeline.delivery.cloudevents import http_headers
from pipeline.delivery.destination import DestinationError, Reach, check_url
from pipeline.delivery.endpoints import CLOUDEVENTS, Endpoint
from pipeline.delivery.outbox import DueMessage, Outcome
from pipeline.delivery.post import Answer, NoAnswerError, Poster
from pipeline.delivery.retry import next_attempt, retry_after_s, verdict
from pipeline.delivery.signing import check_secret, signed_headers
from pipeline.metrics import Metrics

BREAKS_AFTER: Final = 5  # tries in a row without an answer, or with one that says it cannot now
RESTS_S: Final = (30.0, 60.0, 120.0, 300.0)  # until one is tried again; each failure of that one, longer
BATCH: Final = 1000  # messages handed over at a time
BATCH_S: Final = 2.0  # after which the rest of a batch is left: how tries ended is to be in the store soon
_UNSIGNED: Final = {"content-type": "application/json", "user-agent": "stillwatch"}

_log = logs.get("delivery")


@dataclass(slots=True)
class Breaker:
    """Whether it is any use to try. Open after BREAKS_AFTER failures in a row; then one try, by which it decides."""

    failures: int = 0
    until_s: float = float("-inf")

    def open(self, now_s: float) -> bool:
        """Nothing is tried now."""
        return now_s < self.until_s

    @property
    def probing(self) -> bool:
        """It was open, and one try is to tell."""
        return self.failures >= BREAKS_AFTER

    def worked(self) -> None:
        """An answer that says that the receiver works, whatever it thought of the message."""
        self.failures = 0
        self.until_s = float("-inf")

    def failed(self, now_s: float) -> None:
        """No answer, or one that says that it does not work now."""
        self.failures += 1
        if self.failures >= BREAKS_AFTER:
            self.until_s = now_s + RESTS_S[min(self.failures - BREAKS_AFTER, len(RESTS_S) - 1)]


@dataclass(slots=True)
class Allowance:
    """At most ``per_minute`` in any minute, evenly: a bucket that fills as time goes by; None: no limit."""

    per_minute: int | None
    monotonic: Callable[[], float]
    _left: float = field(init=False)
    _at_s: float = field(init=False)

    def __post_init__(self) -> None:
        # Full at the start would be twice as many in the first minute.
        self._left = 1.0
        self._at_s = self.monotonic()

    def room(self, wanted: int) -> int:
        """How many of ``wanted`` may be sent now."""
        if self.per_minute is None:
            return wanted
        now_s = self.monotonic()
        most = max(1.0, self.per_minute / 60)
        self._left = min(most, self._left + (now_s - self._at_s) * self.per_minute / 60)
        self._at_s = now_s
        return min(wanted, int(self._left + 1e-9))  # tenths of a second do not add up to a whole one exactly

    def spend(self, sent: int) -> None:
        """So many were sent."""
        self._left -= sent


@dataclass(slots=True)
class Sender:
    """Posts messages to one endpoint. Blocks for at most its timeout a message and connection."""

    name: str
    endpoint: Endpoint
    reach: Reach
    clock: Clock
    metrics: Metrics
    rng: random.Random = field(default_factory=random.Random)  # jitter needs no secrecy
    breaker: Breaker = field(default_factory=Breaker)
    allowance: Allowance = field(init=False)
    _until_s: float = 0.0
    _over: bool = False  # no answer to one of this batch, or one that says that the receiver is gone
    _posters: queue.SimpleQueue[Poster] = field(init=False, default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        """Raises DestinationError, ConfigError: an address or a secret that is none."""
        self.allowance = Allowance(self.endpoint.per_minute, self.clock.monotonic)
        where = check_url(self.endpoint.url.get_secret_value(), self.reach)
        for secret in self.endpoint.secrets(self.clock.now()):
            check_secret(secret)
        for _ in range(self.endpoint.at_once):
            self._posters.put(Poster(where, self.reach, self.endpoint.timeout_s, self.clock))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        while not self._posters.empty():
            self._posters.get().close()

    def room(self) -> int:
        """How many messages it takes now; none while it is paused, resting or at its limit."""
        if self.endpoint.paused or self.breaker.open(self.clock.monotonic()):
            return 0
        return self.allowance.room(1 if self.breaker.probing else BATCH)

    def send(self, messages: Sequence[DueMessage]) -> list[Outcome]:
        """Try each message once, in order of their beginning; never raises for what a receiver does.

        After one that got no answer or 410 Gone, once the breaker opens or BATCH_S have passed, the rest is left as it
        is: still due, and none of them has to wait for a timeout of its own.
        """
        self._until_s = self.clock.monotonic() + BATCH_S
        self._over = False
        messages = messages[: self.room()]
        self.allowance.spend(len(messages))
        if self.endpoint.at_once == 1:
            return [outcome for message in messages if (outcome := self._try(message)) is not None]
        with ThreadPoolExecutor(self.endpoint.at_once, f"webhook-{self.name}") as pool:
            return [outcome for outcome in pool.map(self._try, messages) if outcome is not None]

    def _try(self, message: DueMessage) -> Outcome | None:
        now_s = self.clock.monotonic()
        if self._over or now_s >= self._until_s or self.breaker.open(now_s):
            return None
        attempts = message.attempts + 1
        secret = self.endpoint.secret
        body = rendered(
            message.body,
            self.endpoint.format,
            endpoint=self.name,
            routing_key="" if secret is None else secret.get_secret_value(),
            version=__version__,
        )
        poster = self._posters.get()
        try:
            answer = poster.post(self._headers(message, body), body)
        except (NoAnswerError, DestinationError) as error:
            self._over = True
            self.breaker.failed(self.clock.monotonic())
            return self._again(message, attempts, None, error.message)
        finally:
            self._posters.put(poster)
        return self._judged(message, attempts, answer)

    def _headers(self, message: DueMessage, body: bytes) -> dict[str, str]:
        now = self.clock.now()
        event = http_headers(message.message_id, message.body) if self.endpoint.format in CLOUDEVENTS else {}
        secrets = self.endpoint.secrets(now)
        if not secrets:
            return {**_UNSIGNED, **event}
        each = [signed_headers(secret, message.message_id, body.decode(), now) for secret in secrets]
        return {**each[0], "webhook-signature": " ".join(one["webhook-signature"] for one in each), **event}

    def _judged(self, message: DueMessage, attempts: int, answer: Answer) -> Outcome:
        found = verdict(answer.status)
        self.metrics.count("webhook_attempts", outcome=found)
        if found == "retry":
            self.breaker.failed(self.clock.monotonic())
            return self._again(message, attempts, answer, f"HTTP {answer.status}")
        self.breaker.worked()
        self._over |= found == "gone"
        if found == "delivered":
            faults.hit("serve.sent")
        _log.info(
            "webhook_tried",
            endpoint=self.name,
            message=message.message_id,
            outcome=found,
            status=answer.status,
            attempts=attempts,
        )
        return Outcome(
            message.message_id,
            message.endpoint,
            found,
            attempts,
            self.clock.now(),
            answer.status,
            None if found == "delivered" else f"HTTP {answer.status}",
            response=answer.beginning,
        )

    def _again(self, message: DueMessage, attempts: int, answer: Answer | None, error: str) -> Outcome:
        now = self.clock.now()
        asked = None if answer is None else retry_after_s(answer.headers, now)
        when = next_attempt(attempts, now, asked, self.rng)
        if answer is None:
            self.metrics.count("webhook_attempts", outcome="retry")
        _log.warning(
            "webhook_failed",
            endpoint=self.name,
            message=message.message_id,
            error=error,
            attempts=attempts,
            next=str(when),
        )
        return Outcome(
            message.message_id,
            message.endpoint,
            "retry",
            attempts,
            now,
            None if answer is None else answer.status,
            error,
            when,
            "" if answer is None else answer.beginning,
        )
