"""The consumer group's member: polls no more than fits, pauses when full, goes back to what is committed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import polars as pl
from kafka import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import MemberState, TopicPartition

from pipeline import logs
from pipeline.broker import kafka_options
from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.ingest.compiled import CompiledConsumer
from pipeline.ingest.pending import Source
from pipeline.ingest.records import size_bytes, to_raw

PARTITION_FETCH_BYTES: Final = 8 << 20
POLL_BYTES: Final = 16 << 20  # decoded at once: some ten times as large then, and no cheaper an event with more
FIRST_RECORDS: Final = 16  # polled before any was seen: nobody knows how large they are
GATHER_BYTES: Final = 1 << 20  # the broker waits for so much, or so long: fewer, fatter batches
GATHER_MS: Final = 200
MAX_POLL_INTERVAL_MS: Final = 300_000

log = logs.get("ingest")


class Member:
    """One member of the ingest group on the raw topic. Not thread-safe.

    Args:
        settings: the tree.
        clock: dates what is polled.
        revoked: called inside ``poll`` with partitions that are no longer ours.
    """

    def __init__(self, settings: Settings, clock: Clock, revoked: Callable[[Collection[Source]], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._revoked = revoked
        self._limit_bytes = settings.ingest.buffer_bytes
        self._poll_records = settings.ingest.poll_records
        self._poll_timeout_ms = settings.ingest.poll_timeout_ms
        self._message_bytes = 0.0  # none was seen
        self.consumer = self._made()

    @property
    def paused(self) -> int:
        """Partitions that are paused."""
        return len(self.consumer.paused())

    @property
    def joined(self) -> bool:
        """Whether it has gone through with joining the group."""
        return bool(self.consumer.group_metadata().state == MemberState.STABLE)

    @property
    def working(self) -> bool:
        """Whether it has partitions as a member that has joined."""
        return self.joined and bool(self.consumer.assignment())

    def poll(self, held_bytes: int) -> pl.DataFrame:
        """Rows of RAW, at most about as many bytes as fit beside ``held_bytes``; empty when nothing came in time."""
        self._press(held_bytes)
        room = min(POLL_BYTES, max(0, self._limit_bytes - held_bytes))
        fitting = int(room / self._message_bytes) if self._message_bytes else FIRST_RECORDS
        records = max(1, min(self._poll_records, fitting))
        polled = self.consumer.poll(timeout_ms=self._poll_timeout_ms, max_records=records)
        raw = to_raw(polled, received_s=self._clock.monotonic())
        if raw.height:
            # Quick to grow, slow to shrink: one batch of small messages says little about the next.
            mean = max(1.0, size_bytes(raw) / raw.height)
            self._message_bytes = max(mean, 0.8 * self._message_bytes + 0.2 * mean)
        return raw

    def rewind(self) -> None:
        """Read every assigned partition from its committed offset again.

        Raises:
            KafkaError: the broker does not say; try again.
        """
        for source in self.consumer.assignment():
            committed = self.consumer.committed(source)
            if committed is None:
                self.consumer.seek_to_beginning(source)
            else:
                self.consumer.seek(source, committed)

    def renew(self, timeout_s: float) -> None:
        """Go on as another member, from what is committed; rows in hand are to be forgotten.

        Raises:
            KafkaError: no broker answers; the old consumer stays.
        """
        old, self.consumer = self.consumer, self._made()
        try:
            old.close(autocommit=False, timeout_ms=int(timeout_s * 1000))
        except KafkaError as error:
            log.warning("consumer_not_closed", error=type(error).__name__, detail=str(error)[:300])

    def close(self, timeout_s: float) -> None:
        """Leave the group; commits nothing."""
        self.consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))

    def _made(self) -> CompiledConsumer:
        settings = self._settings
        session_ms = int(settings.kafka.session_timeout_s * 1000)
        consumer = CompiledConsumer(
            **kafka_options(settings.kafka),
            group_id=settings.ingest.group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=settings.ingest.poll_records,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, min(1000, session_ms // 3)),
            max_partition_fetch_bytes=min(PARTITION_FETCH_BYTES, self._limit_bytes),
            fetch_max_bytes=self._limit_bytes,
            fetch_min_bytes=min(GATHER_BYTES, self._limit_bytes // 4),  # what does not fit would never be enough
            fetch_max_wait_ms=min(GATHER_MS, self._poll_timeout_ms),
            allow_auto_create_topics=False,
        )
        consumer.subscribe([settings.topics.requests], listener=_Listener(self._revoked))
        return consumer

    def _press(self, held_bytes: int) -> None:
        paused = self.consumer.paused()
        if held_bytes >= self._limit_bytes:
            fresh = self.consumer.assignment() - paused
            if fresh:
                self.consumer.pause(*fresh)
                log.warning("paused", partitions=len(fresh), held_bytes=held_bytes)
        elif paused and held_bytes <= self._limit_bytes // 2:
            self.consumer.resume(*paused)
            log.info("resumed", partitions=len(paused), held_bytes=held_bytes)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python publishes no types
    """Between two polls nothing is half done, so a revoked partition only has rows to forget."""

    def __init__(self, revoked: Callable[[Collection[Source]], None]) -> None:
        self._revoked = revoked

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            log.info("partitions_revoked", partitions=_numbers(revoked))
        self._revoked([(one.topic, one.partition) for one in revoked])

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=_numbers(assigned))


def _numbers(partitions: Collection[Any]) -> list[int]:
    return sorted(one.partition for one in partitions)
