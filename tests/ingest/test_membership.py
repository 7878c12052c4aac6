"""What kafka-python's group membership forgets, forced by keeping answers back, and mended."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from kafka import ConsumerRebalanceListener
from kafka.admin import KafkaAdminClient
from kafka.protocol.consumer import SyncGroupRequest
from kafka.structs import TopicPartition

from pipeline.ingest.compiled import CompiledConsumer
from tests.ingest.bench import wait_until
from tests.ingest.valve import Valve
from tests.kafka.server import KafkaServer

POLL_MS = 50


class Told(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python publishes no types
    """What a member was assigned, in order."""

    def __init__(self) -> None:
        self.assigned: list[list[int]] = []

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.assigned.append(sorted(one.partition for one in assigned))


class Joining:
    """A member and its topic, which is there once ``create`` was called."""

    def __init__(self, bootstrap: str) -> None:
        self.topic = f"membership-{uuid.uuid4().hex[:8]}"
        self.told = Told()
        self._bootstrap = bootstrap
        self.consumer = CompiledConsumer(
            bootstrap_servers=bootstrap,
            group_id=self.topic,
            session_timeout_ms=3000,
            heartbeat_interval_ms=500,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
        )

    def create(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        admin.create_topics({self.topic: {"num_partitions": 2, "replication_factor": 1}})
        admin.close()

    def subscribe(self) -> None:
        self.consumer.subscribe([self.topic], listener=self.told)

    def poll_until(self, what: Any, timeout_s: float = 20) -> None:
        def polled() -> bool:
            self.consumer.poll(timeout_ms=POLL_MS)
            return bool(what())

        wait_until(polled, timeout_s)


@pytest.fixture
def joining(kafka: KafkaServer) -> Iterator[Joining]:
    made = Joining(kafka.bootstrap)
    yield made
    made.consumer.close(autocommit=False)


@pytest.mark.kafka
def test_a_join_that_outlasts_a_poll_is_gone_through_with(joining: Joining) -> None:
    valve = Valve(joining.consumer, SyncGroupRequest)
    joining.subscribe()
    joining.poll_until(lambda: joining.told.assigned)
    valve.shut()
    joining.create()  # the leader hears of partitions that were not there when it assigned: it joins again
    joining.poll_until(lambda: valve.kept)
    joining.consumer.poll(timeout_ms=POLL_MS)
    valve.open()
    joining.poll_until(lambda: joining.told.assigned[-1] == [0, 1])
