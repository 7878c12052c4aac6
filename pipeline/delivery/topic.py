"""Alerts to a topic of the broker, for those who would rather consume than listen: the native body, keyed by alert."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from pipeline import logs
from pipeline.broker import kafka_options
from pipeline.clock import Clock
from pipeline.config import KafkaSettings
from pipeline.delivery.cloudevents import kafka_headers
from pipeline.delivery.outbox import DueMessage, Outcome
from pipeline.delivery.retry import next_attempt
from pipeline.errors import StillwatchError
from pipeline.metrics import Metrics

BATCH: Final = 100
CONFIRMED_WITHIN_S: Final = 30.0
FOUND_WITHIN_S: Final = 10.0  # a broker that answers, and in it the topic
CLOSED_WITHIN_S: Final = 5.0

_log = logs.get("delivery")


@dataclass(slots=True)
class TopicSender:
    """Sends to one topic; confirmed by all replicas, at least once: the id of a message is in its headers.

    As a ``Sender`` is used: one thread at a time, nothing of the store.
    """

    name: str
    topic: str
    kafka: KafkaSettings
    clock: Clock
    metrics: Metrics
    rng: random.Random = field(default_factory=random.Random)  # jitter needs no secrecy
    _producer: KafkaProducer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the producer."""
        if self._producer is not None:
            self._producer.close(timeout=CLOSED_WITHIN_S)
            self._producer = None

    def room(self) -> int:
        """How many messages it takes now."""
        return BATCH

    def send(self, messages: Sequence[DueMessage]) -> list[Outcome]:
        """Send them in order and wait until each is confirmed or refused; never raises for what the broker does.

        Blocks for at most CONFIRMED_WITHIN_S, and FOUND_WITHIN_S before that for the first and for a new topic.
        """
        try:
            if self._producer is None:
                found_ms = int(FOUND_WITHIN_S * 1000)
                self._producer = KafkaProducer(
                    **kafka_options(self.kafka),
                    acks="all",
                    enable_idempotence=True,
                    bootstrap_timeout_ms=found_ms,
                    max_block_ms=found_ms,
                )
            sent = [
                self._producer.send(
                    self.topic,
                    value=message.body.encode(),
                    key=message.alert_id.encode(),
                    headers=[
                        ("webhook-id", message.message_id.encode()),
                        *kafka_headers(message.message_id, message.body),
                    ],
                )
                for message in messages
            ]
        except (KafkaError, StillwatchError) as error:
            return [self._again(message, type(error).__name__) for message in messages[:1]]
        deadline_s = self.clock.monotonic() + CONFIRMED_WITHIN_S
        outcomes = []
        for message, future in zip(messages, sent, strict=True):
            try:
                future.get(timeout=max(0.0, deadline_s - self.clock.monotonic()))
            except KafkaError as error:
                outcomes.append(self._again(message, type(error).__name__))
            else:
                self.metrics.count("webhook_attempts", outcome="delivered")
                attempts = message.attempts + 1
                outcomes.append(Outcome(message.message_id, message.endpoint, "delivered", attempts, self.clock.now()))
        return outcomes

    def _again(self, message: DueMessage, error: str) -> Outcome:
        now, attempts = self.clock.now(), message.attempts + 1
        when = next_attempt(attempts, now, None, self.rng)
        self.metrics.count("webhook_attempts", outcome="retry")
        _log.warning("alert_not_produced", topic=self.topic, message=message.message_id, error=error, next=str(when))
        return Outcome(message.message_id, message.endpoint, "retry", attempts, now, None, error, when)
