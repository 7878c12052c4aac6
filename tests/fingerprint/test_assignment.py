"""What a worker does with its partitions, without a broker: in order, one thing at a time, nothing of the revoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import polars as pl
import pytest
from aiokafka import TopicPartition

from pipeline.clock import Clock, ManualClock
from pipeline.config import Settings
from pipeline.events.batch import encode_events
from pipeline.fingerprint.assignment import Assignment
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.publish import Publisher
from pipeline.fingerprint.schema import Delta
from pipeline.metrics import Metrics
from tests.fingerprint.sample import sample

GENERATION = 3
TOPIC = "stillwatch.events"


class Told:
    """Stands for the producer and the group: remembers what it is told, and lets a delta pass when the test says."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.dead_letters = 0
        self.commits: list[dict[int, int]] = []
        self.passing = asyncio.Event()
        self.passing.set()
        self.opening = asyncio.Event()
        self.opening.set()
        self.committing = asyncio.Event()
        self.committing.set()
        self.position: int | None = None
        self.offsets_behind: int | None = 0
        self.asked = 0  # commits begun, whether they have ended or not

    async def send_delta(self, delta: Delta, *, ours: Callable[[], bool]) -> bool:
        await self.passing.wait()
        if ours():
            self.deltas.append(delta)
        return ours()

    async def send_dead_letter(self, _value: bytes, *, ours: Callable[[], bool]) -> bool:
        self.dead_letters += 1
        return ours()

    async def committed_position(self, _partition: TopicPartition) -> tuple[int | None, int]:
        await self.opening.wait()
        return self.position, 0

    async def commit_exactly(
        self, generation: int, offsets: Mapping[TopicPartition, int], ours: Callable[[], bool]
    ) -> bool:
        assert generation == GENERATION
        assert ours()
        self.asked += 1
        await self.committing.wait()
        self.commits.append({partition.partition: offset for partition, offset in offsets.items()})
        return True

    def behind(self, _partition: TopicPartition) -> int | None:
        return self.offsets_behind

    def of(self, partition: int) -> list[tuple[int, int, int]]:
        """From, to and events of each delta of a partition."""
        return [(one.from_offset, one.to_offset, one.events) for one in self.deltas if one.partition == partition]


def assigned(
    told: Told, *, emit_events: int = 1_000_000, metrics: Metrics | None = None, clock: Clock | None = None
) -> Assignment:
    settings = Settings()
    settings = settings.model_copy(
        update={"worker": settings.worker.model_copy(update={"emit_events": emit_events, "dedup_window_s": 0})}
    )
    return Assignment(
        settings,
        reader_options={},
        publisher=cast("Publisher", told),
        group=told,
        clock=clock or ManualClock(),
        metrics=metrics or Metrics(),
    )


def begin(assignment: Assignment, *partitions: int) -> list[asyncio.Task[None]]:
    numbers = assignment.assign([TopicPartition(TOPIC, number) for number in partitions], GENERATION)
    return [asyncio.create_task(assignment.run(number)) for number in numbers]


def batch(number: int, rows: int = 10) -> bytes:
    return encode_events(sample(rows, seed=number))


async def settled(assignment: Assignment) -> None:
    """Until every batch has been taken in and what came of it was emitted."""
    while any(not slot.waiting.empty() for slot in assignment._slots.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await assignment.emit()


def test_batches_of_all_partitions_are_taken_in_order_and_counted() -> None:
    async def run() -> Told:
        told = Told()
        assignment = assigned(told, emit_events=30)
        tasks = begin(assignment, 0, 1)
        for offset in range(0, 24, 2):  # between them are transaction markers
            for partition in (0, 1):
                await assignment.put(partition, offset, GENERATION, batch(offset * 2 + partition))
        await settled(assignment)
        assignment.revoke([0, 1])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    told = asyncio.run(run())
    for partition in (0, 1):
        deltas = told.of(partition)
        assert sum(events for _, _, events in deltas) == 120
        assert [start for start, _, _ in deltas] == [0, *(end for _, end, _ in deltas[:-1])]
        assert deltas[-1][1] == 23
        assert max(events for _, _, events in deltas) == 30
    assert {0: 23, 1: 23}.items() <= {key: end for commit in told.commits for key, end in commit.items()}.items()


def test_a_partition_that_is_far_behind_emits_seldom_and_at_once_when_it_is_to_end() -> None:
    async def run() -> list[int]:
        told, clock = Told(), ManualClock()
        told.offsets_behind = 1000
        assignment = assigned(told, clock=clock)
        tasks = begin(assignment, 0)
        emitted = []
        for offset, wait_s in enumerate((0.7, 1.4, 1.4, 0.7)):
            await _put(assignment, range(offset, offset + 1))
            await _taken(assignment, offset)
            clock.advance(wait_s)
            await assignment.emit()
            emitted.append(len(told.deltas))
        told.offsets_behind = 3  # as of a stream that is kept up with
        await assignment.emit()
        emitted.append(len(told.deltas))
        told.offsets_behind = 1000
        await _put(assignment, range(4, 5))
        await _taken(assignment, 4)
        assignment.draining = True
        await assignment.emit()
        emitted.append(len(told.deltas))
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return emitted

    assert asyncio.run(run()) == [0, 0, 1, 1, 2, 3]


def test_what_comes_while_a_partition_opens_waits_and_keeps_its_order() -> None:
    async def run() -> Told:
        told = Told()
        told.opening.clear()
        assignment = assigned(told)
        tasks = begin(assignment, 0)
        putting = asyncio.create_task(_put(assignment, range(6)))
        await asyncio.sleep(0.02)
        told.opening.set()
        await putting
        await settled(assignment)
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    assert asyncio.run(run()).of(0) == [(0, 6, 60)]


def test_a_damaged_batch_is_buried_and_covered() -> None:
    async def run() -> Told:
        told = Told()
        assignment = assigned(told)
        tasks = begin(assignment, 0)
        await assignment.put(0, 0, GENERATION, batch(0))
        await assignment.put(0, 1, GENERATION, b"no Arrow at all")
        await assignment.put(0, 2, GENERATION, batch(2))
        await settled(assignment)
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    told = asyncio.run(run())
    assert told.dead_letters == 1
    assert told.of(0) == [(0, 3, 20)]


def test_batches_that_the_broker_has_lost_are_counted_and_what_came_is_taken_in() -> None:
    async def run(metrics: Metrics) -> Told:
        told = Told()
        assignment = assigned(told, metrics=metrics)
        tasks = begin(assignment, 0)
        for offset, chain in enumerate((b"s:0", b"s:1", b"s:4", b"s:5")):
            await assignment.put(0, offset, GENERATION, batch(offset), chain)
        await settled(assignment)
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    metrics = Metrics()
    assert asyncio.run(run(metrics)).of(0) == [(0, 4, 40)]
    assert metrics.value("worker_missing_messages") == 2


def test_while_a_commit_hangs_no_later_one_overtakes_it() -> None:
    async def run() -> Told:
        told = Told()
        told.committing.clear()
        assignment = assigned(told, emit_events=10)
        tasks = begin(assignment, 0)
        await assignment.put(0, 0, GENERATION, batch(0))
        while not told.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await assignment.put(0, 1, GENERATION, batch(1))
        emitting = [asyncio.create_task(assignment.emit()) for _ in range(3)]
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert told.asked == 1
        told.committing.set()
        await asyncio.gather(*emitting)
        await settled(assignment)
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    assert asyncio.run(run()).commits == [{0: 1}, {0: 2}]


def test_of_a_revoked_partition_nothing_more_is_sent_and_its_task_ends() -> None:
    async def run() -> Told:
        told = Told()
        told.passing.clear()
        assignment = assigned(told, emit_events=10)
        tasks = begin(assignment, 0, 1)
        putting = asyncio.create_task(_put(assignment, range(8)))  # the first is full: its delta waits at the producer
        await asyncio.sleep(0.05)
        assignment.revoke([0])
        told.passing.set()
        await asyncio.gather(putting, tasks[0])
        await assignment.put(1, 0, GENERATION, batch(0))
        await assignment.put(1, 1, GENERATION - 1, batch(1))  # of an assignment that is over
        await settled(assignment)
        assignment.revoke([1])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    told = asyncio.run(run())
    assert told.of(0) == []
    assert told.of(1) == [(0, 1, 10)]
    assert told.commits == [{1: 1}]


def test_after_a_failure_in_the_middle_of_a_batch_nothing_is_emitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(state: PartitionState, offset: int, _events: pl.DataFrame) -> None:
        state.skip(offset)  # half done: the offset is covered, the events are not there
        raise MemoryError

    monkeypatch.setattr(PartitionState, "add", broken)

    async def run() -> Told:
        told = Told()
        assignment = assigned(told)
        tasks = begin(assignment, 0)
        await assignment.put(0, 0, GENERATION, batch(0))
        with pytest.raises(MemoryError):
            await asyncio.gather(*tasks)
        await assignment.emit()
        assignment.close()
        return told

    told = asyncio.run(run())
    assert told.deltas == []
    assert told.commits == []


def test_a_partition_that_is_given_back_is_known_without_being_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[int, int]] = []

    @asynccontextmanager
    async def no_reader(_options: object) -> AsyncIterator[None]:
        yield None

    async def warm(_reader: None, _partition: object, _state: object, _settings: object, **span: int) -> int:
        warmed.append((span["earliest"], span["end"]))
        return 0

    monkeypatch.setattr("pipeline.fingerprint.assignment.side_reader", no_reader)
    monkeypatch.setattr("pipeline.fingerprint.assignment.warm_up", warm)

    async def run() -> Told:
        told = Told()
        assignment = assigned(told)
        tasks = begin(assignment, 0)
        await assignment.put(0, 0, GENERATION, batch(0))
        await settled(assignment)
        await assignment.put(0, 1, GENERATION, batch(1))  # taken in, not emitted: it comes again
        while not assignment._slots[0].waiting.empty():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for position, given in ((1, (0,)), (3, (0,)), (3, ()), (3, (0,))):
            told.position = position
            assignment.revoke([0])
            tasks += begin(assignment, *given)
            if given and position == 1:
                for offset, number in enumerate((1, 0), start=1):
                    await assignment.put(0, offset, GENERATION, batch(number))
            while given and assignment._slots[0].state is None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await settled(assignment)
        assignment.revoke([0])
        await asyncio.gather(*tasks)
        assignment.close()
        return told

    told = asyncio.run(run())
    assert [(one.events, one.duplicates) for one in told.deltas if one.to_offset > one.from_offset] == [
        (10, 0),
        (10, 10),
    ]
    assert warmed == [(0, 3)]  # only once others had it meanwhile


def test_a_partition_that_opens_when_all_is_over_keeps_nobody_waiting() -> None:
    async def run() -> None:
        told = Told()
        told.opening.clear()
        assignment = assigned(told)
        tasks = begin(assignment, 0)
        await asyncio.sleep(0)
        assignment.close()
        told.opening.set()  # as where the cancellation was kept to itself
        await asyncio.wait_for(asyncio.gather(*tasks), 5)

    asyncio.run(run())


async def _taken(assignment: Assignment, offset: int) -> None:
    """Until the message at that offset is in its state."""
    while (state := assignment._slots[0].state) is None or state.next_offset <= offset:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def _put(assignment: Assignment, offsets: range) -> None:
    for offset in offsets:
        await assignment.put(0, offset, GENERATION, batch(offset))
