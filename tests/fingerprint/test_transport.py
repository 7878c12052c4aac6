"""A commit belongs to the assignment that it was made in, however long the broker was away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from pipeline.fingerprint.transport import CommittedThread

OFFSETS = {TopicPartition("events", 0): 2}


class Coordinator:
    """Stands for aiokafka's: what happens while a commit looks for it, and how each request ends."""

    def __init__(self, *, meanwhile: Callable[[Coordinator], None] | None = None, ends: list[KafkaError] | None = None):
        self.generation = 1
        self.sent: list[tuple[int, dict[TopicPartition, int]]] = []
        self._meanwhile = meanwhile
        self._ends = ends or []
        self._commit_lock = asyncio.Lock()

    async def ensure_coordinator_known(self) -> None:
        await asyncio.sleep(0)
        if self._meanwhile is not None:
            self._meanwhile(self)

    async def _do_commit_offsets(self, _assignment: object, offsets: dict[TopicPartition, Any]) -> None:
        self.sent.append((self.generation, {partition: item.offset for partition, item in offsets.items()}))
        await asyncio.sleep(0)
        if self._ends:
            raise self._ends.pop(0)


async def commit(coordinator: Coordinator, ours: Callable[[], bool] = lambda: True) -> bool:
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=object()))
    consumer = SimpleNamespace(_coordinator=coordinator, _subscription=subscription)
    thread = SimpleNamespace(_ensure_consumer=lambda: consumer)
    return await CommittedThread._commit_exactly(cast("CommittedThread", thread), 1, OFFSETS, ours)


def rebalance(coordinator: Coordinator) -> None:
    coordinator.generation = 2


def test_it_is_sent_once() -> None:
    async def run() -> None:
        coordinator = Coordinator()
        assert await commit(coordinator)
        assert coordinator.sent == [(1, OFFSETS)]

    asyncio.run(run())


def test_a_broker_that_comes_back_gets_it_again() -> None:
    async def run() -> None:
        coordinator = Coordinator(ends=[GroupCoordinatorNotAvailableError()])
        assert await commit(coordinator)
        assert coordinator.sent == [(1, OFFSETS)] * 2

    asyncio.run(run())


def test_what_hung_until_the_group_had_moved_on_is_not_sent() -> None:
    # It would land in the next assignment, which has begun before it: what lies between would be counted by nobody.
    async def run() -> None:
        coordinator = Coordinator(meanwhile=rebalance)
        assert not await commit(coordinator)
        assert coordinator.sent == []

    asyncio.run(run())


def test_what_waited_for_another_commit_is_not_sent_after_a_rebalance() -> None:
    async def run() -> None:
        coordinator = Coordinator()
        async with coordinator._commit_lock:
            waiting = asyncio.create_task(commit(coordinator))
            for _ in range(5):
                await asyncio.sleep(0)
            rebalance(coordinator)
        assert not await waiting
        assert coordinator.sent == []

    asyncio.run(run())


def test_the_same_generation_of_a_group_that_was_made_anew_is_not_taken_for_ours() -> None:
    async def run() -> None:
        coordinator = Coordinator()
        assert not await commit(coordinator, ours=lambda: False)
        assert coordinator.sent == []

    asyncio.run(run())


@pytest.mark.parametrize("error", [UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError])
def test_what_the_broker_refuses_for_its_generation_is_left_to_the_next(error: type[KafkaError]) -> None:
    async def run() -> None:
        coordinator = Coordinator(ends=[error()])
        assert not await commit(coordinator)
        assert len(coordinator.sent) == 1

    asyncio.run(run())


def test_what_no_repetition_mends_is_raised() -> None:
    async def run() -> None:
        with pytest.raises(TopicAuthorizationFailedError):
            await commit(Coordinator(ends=[TopicAuthorizationFailedError()]))

    asyncio.run(run())
