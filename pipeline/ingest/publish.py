"""Messages and consumed offsets to the broker as one step: in a transaction, or flushed and then committed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from kafka import KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.broker import kafka_options
from pipeline.config import Settings
from pipeline.events.chain import CHAIN_HEADER, Numbering
from pipeline.faults import hit
from pipeline.ingest.consume import Member
from pipeline.ingest.outbound import Message
from pipeline.ingest.pending import Source

# A killed process's transaction hides what is behind it from readers until the broker gives up on it.
TRANSACTION_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 5.0


class Publisher(Protocol):
    """One step of the promise: the messages and the offsets, both or neither (or, without transactions, in order)."""

    def publish(self, messages: Iterable[Message], offsets: Mapping[Source, int]) -> None:
        """Return when the broker has everything.

        Raises:
            KafkaError: it may or may not have it; ``reset``, then read from the committed offsets again.
        """
        ...

    def reset(self) -> None:
        """After a failure: leave no transaction open. May be called twice."""
        ...

    def close(self) -> None:
        """Close the producer."""
        ...


class TransactionalPublisher:
    """Exactly once: messages and offsets in one Kafka transaction, fenced by the group's generation (KIP-447)."""

    def __init__(self, settings: Settings, member: Member) -> None:
        self._member = member
        self._options = _producer_options(settings) | {
            # Unique to the process: a second member never fences a live one. Zombies are fenced by the group.
            "transactional_id": f"{settings.ingest.group}-{os.getpid()}-{uuid.uuid4().hex[:12]}",
            "transaction_timeout_ms": int(TRANSACTION_TIMEOUT_S * 1000),
        }
        self._producer: KafkaProducer | None = None
        self._numbering = Numbering()

    def publish(self, messages: Iterable[Message], offsets: Mapping[Source, int]) -> None:
        """See Publisher."""
        producer = self._ready()
        producer.begin_transaction()
        _send(producer, messages, self._numbering)
        hit("ingest.produced")
        producer.send_offsets_to_transaction(_committable(offsets), self._member.consumer.group_metadata())
        hit("ingest.offsets_sent")
        producer.commit_transaction()
        self._numbering.commit()
        hit("ingest.committed")

    def reset(self) -> None:
        """See Publisher. The next ``publish`` starts the same transactional id anew, which ends what was open."""
        self._numbering.abort()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=0)

    def close(self) -> None:
        """See Publisher."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=CLOSE_TIMEOUT_S)

    def _ready(self) -> KafkaProducer:
        if self._producer is None:
            producer = KafkaProducer(**self._options)
            try:
                producer.init_transactions()
            except BaseException:
                producer.close(timeout=0)
                raise
            self._producer = producer
        return self._producer


class FlushingPublisher:
    """At least once, for a broker without transactions: confirmed first, committed then."""

    def __init__(self, settings: Settings, member: Member) -> None:
        self._member = member
        self._options = _producer_options(settings)
        self._producer: KafkaProducer | None = None
        self._numbering = Numbering()

    def publish(self, messages: Iterable[Message], offsets: Mapping[Source, int]) -> None:
        """See Publisher."""
        if self._producer is None:
            self._producer = KafkaProducer(**self._options)
        _send(self._producer, messages, self._numbering)
        self._numbering.commit()
        hit("ingest.produced")
        hit("ingest.offsets_sent")
        self._member.consumer.commit(_committable(offsets))
        hit("ingest.committed")

    def reset(self) -> None:
        """See Publisher."""
        self._numbering.abort()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=0)

    def close(self) -> None:
        """See Publisher."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=CLOSE_TIMEOUT_S)


def _send(producer: KafkaProducer, messages: Iterable[Message], numbering: Numbering) -> None:
    # No timestamp: retention goes by it, and replayed events would be deleted at once.
    futures = []
    for message in messages:
        headers = [message.header]
        if message.partition is not None:
            headers.append((CHAIN_HEADER, numbering.next(message.partition)))
        futures.append(producer.send(message.topic, value=message.value, partition=message.partition, headers=headers))
    producer.flush()
    for future in futures:
        future.get(timeout=0)  # flush has waited for all; this raises what went wrong


def _producer_options(settings: Settings) -> dict[str, Any]:
    return kafka_options(settings.kafka) | {
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": settings.topics.max_message_bytes,
        "delivery_timeout_ms": int(settings.kafka.request_timeout_s * 2000),
        "max_block_ms": int(settings.kafka.request_timeout_s * 1000),
        "allow_auto_create_topics": False,
    }


def _committable(offsets: Mapping[Source, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
        for (topic, partition), offset in offsets.items()
    }
