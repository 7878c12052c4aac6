"""Deltas and dead letters to the broker: in order, confirmed, and tried again for as long as they are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline import logs
from pipeline.broker.probe import has_transactions
from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.errors import BrokerUnavailableError, CorruptBatchError
from pipeline.events.dead_letter import encode_dead_letters
from pipeline.events.schema import DEAD_LETTERS
from pipeline.faults import hit
from pipeline.fingerprint.codec import HEADER, encode_delta
from pipeline.fingerprint.schema import Delta

DEAD_LETTER_HEADER = ("stillwatch-dead-letter", b"1")

_RETRY_S = 0.5

log = logs.get("worker")


class Publisher:
    """An idempotent producer that is made anew when a send fails.

    After a failure the whole delta is sent again from its first part: whoever reads forgets an unfinished one, and
    applying a whole one twice changes nothing, since rows from its first offset on are removed before.

    Args:
        options: what reaches the broker, as keyword arguments of AIOKafkaProducer.
        settings: topics and sizes.
    """

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        self._options = dict(options)
        self._topics = settings.topics
        self._timeout_ms = round(settings.kafka.request_timeout_s * 1000)
        self._producer: AIOKafkaProducer | None = None
        self._remaking = asyncio.Lock()
        self._settings = settings
        self._idempotent = False

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            self._idempotent = await asyncio.to_thread(has_transactions, self._settings)
            self._producer = await self._made()
        except (KafkaError, OSError) as error:
            raise BrokerUnavailableError(
                f"no broker answers at {self._options.get('bootstrap_servers')}: {error}",
                next_step="start it, or correct kafka.bootstrap; `stillwatch doctor` looks closer",
            ) from None

    async def stop(self) -> None:
        """Close the connection; may be called twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def send_delta(self, delta: Delta, *, ours: Callable[[], bool]) -> bool:
        """Send all parts in order; True when the broker has them all, False when ``ours`` says no meanwhile."""
        parts = await asyncio.to_thread(encode_delta, delta, max_bytes=self._part_bytes)

        async def attempt(producer: AIOKafkaProducer) -> None:
            rest = []
            for number, part in enumerate(parts):
                future = await producer.send(
                    self._topics.fingerprints,
                    value=part.value,
                    partition=delta.partition,
                    headers=[(HEADER, part.header)],
                )
                if number == 0:
                    await future
                    hit("worker.delta_part_sent")
                else:
                    rest.append(future)
            await asyncio.gather(*rest)

        return await self._until_confirmed(attempt, ours)

    async def send_dead_letter(self, value: bytes, *, ours: Callable[[], bool]) -> bool:
        """Send an encoded DEAD_LETTERS frame; as ``send_delta``."""

        async def attempt(producer: AIOKafkaProducer) -> None:
            await producer.send_and_wait(self._topics.dead_letter, value=value, headers=[DEAD_LETTER_HEADER])

        return await self._until_confirmed(attempt, ours)

    @property
    def _part_bytes(self) -> int:
        # Headers and the record's own framing come on top of the value.
        return max(self._topics.max_message_bytes - 4_096, 1_024)

    async def _until_confirmed(self, attempt: Callable[[AIOKafkaProducer], Any], ours: Callable[[], bool]) -> bool:
        while ours():
            producer = self._producer
            if producer is not None:
                try:
                    await attempt(producer)
                except KafkaError as error:
                    log.warning("send_failed", error=type(error).__name__, detail=str(error)[:200])
                else:
                    return True
            await asyncio.sleep(_RETRY_S)
            await self._remake(producer)
        return False

    async def _remake(self, failed: AIOKafkaProducer | None) -> None:
        """Replace a producer that failed: an idempotent one may have lost count of its sequence."""
        async with self._remaking:
            if self._producer is not failed:
                return
            if failed is not None:
                self._producer = None
                await failed.stop()
            try:
                self._producer = await self._made()
            except (KafkaError, OSError) as error:
                log.warning("broker_away", error=type(error).__name__)

    async def _made(self) -> AIOKafkaProducer:
        # The embedded broker gives out no producer ids. aiokafka has one request a partition in flight, so order holds
        # all the same; a part sent twice is refused by whoever reads.
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=self._idempotent,
            max_request_size=max(self._topics.max_message_bytes * 2, 1_048_576),
            request_timeout_ms=self._timeout_ms,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer


def dead_letter(error: CorruptBatchError, value: bytes | None, clock: Clock, *, keep_bytes: int) -> bytes:
    """An encoded DEAD_LETTERS frame for a batch that cannot be read; only its first bytes are kept."""
    row = {
        "source_topic": error.topic,
        "source_partition": error.partition,
        "source_offset": error.offset,
        "item": -1,
        "format": "arrow",
        "reason": "corrupt_batch",
        "detail": error.reason,
        "payload": (value or b"")[:keep_bytes],
        "payload_bytes": len(value or b""),
        "event_id": None,
        "seen_at": clock.now(),
    }
    return encode_dead_letters(pl.DataFrame([row], schema=DEAD_LETTERS))
