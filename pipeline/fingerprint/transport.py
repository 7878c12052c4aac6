"""Faust's Kafka transport, made exact: reads committed records only, and commits the offsets it is told to.

Faust's own book-keeping of acknowledgements is not used for commits. It fills gaps in offsets (every transaction
leaves one) with the message after the gap, acknowledged or not; merged gaps can so commit a message that no delta has
covered; and a failed commit is remembered as a committed one. Here the offset of a confirmed delta is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver

# A fetch waits so long at the broker for data of the partitions that it names, and no other is fetched from there
# meanwhile. Faust's 1.5 s held three partitions with a backlog up for one that was read to its end.
_FETCH_WAIT_MS = 100
# Word of a partition that is older says nothing about its end.
_FETCH_STALE_MS = 5_000
_COMMIT_RETRY_S = 0.1


class CommittedThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread in which the consumer lives."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these; the fetcher, made when the consumer starts, takes them from here.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001
        return consumer

    async def committed_position(self, partition: TopicPartition) -> tuple[int | None, int]:
        """The group's committed offset (None: never), and the first offset that the log still has."""
        found: tuple[int | None, int] = await self._in_thread(self._committed_position(partition))
        return found

    async def commit_exactly(
        self, generation: int, offsets: Mapping[TopicPartition, int], ours: Callable[[], bool]
    ) -> bool:
        """Commit for a generation; False where the group has moved on, or ``ours`` says no. Retries while the broker is
        away.
        """
        done: bool = await self._in_thread(self._commit_exactly(generation, offsets, ours))
        return done

    def behind(self, partition: TopicPartition) -> int | None:
        """Offsets (of committed transactions) that were not fetched yet, as far as a recent answer tells; else None."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment  # noqa: SLF001
        if assignment is None or partition not in assignment.tps:
            return None
        state = assignment.state_value(partition)
        if state is None or state.timestamp is None or not state.has_valid_position:
            return None
        if time.time() * 1000 - state.timestamp > _FETCH_STALE_MS:
            return None
        end = state.lso if state.lso is not None and state.lso >= 0 else state.highwater
        return None if end is None else max(0, end - state.position)

    async def _in_thread(self, call: Any) -> Any:
        # Not through the thread's own queue: two calls at a time run there, and one is a fetch that waits.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.thread_loop))

    async def _committed_position(self, partition: TopicPartition) -> tuple[int | None, int]:
        consumer = self._ensure_consumer()
        earliest = await consumer.beginning_offsets([partition])
        return await consumer.committed(partition), earliest[partition]

    async def _commit_exactly(
        self, generation: int, offsets: Mapping[TopicPartition, int], ours: Callable[[], bool]
    ) -> bool:
        # aiokafka's own commit tries again under whatever generation there is by then: a commit that hung while the
        # broker was away would land in the next assignment, after that has looked where to begin.
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator  # noqa: SLF001
        wanted = {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
        while coordinator.generation == generation and ours():
            try:
                await coordinator.ensure_coordinator_known()
                async with coordinator._commit_lock:  # noqa: SLF001
                    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
                    # The request is made before anything else can run: it carries the generation looked at here.
                    if coordinator.generation != generation or not ours() or assignment is None:
                        break
                    await coordinator._do_commit_offsets(assignment, wanted)  # noqa: SLF001
            except (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError):
                break  # the offsets will be read again, by whoever has them now
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(_COMMIT_RETRY_S)
            else:
                return True
        return False


class CommittedConsumer(driver.Consumer):  # type: ignore[misc]
    """A consumer without gap keeping (it would grow by an interval a transaction, and nothing reads it), and one that
    goes on as soon as there is room: Faust sleeps for a second whenever the buffers of all partitions are full.
    """

    _thread: CommittedThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()

    def on_buffer_drop(self, tp: Any) -> None:
        """There is room for a partition again."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), timeout)
        # It waits for the partitions that have room now; one that has none may have some in a moment.
        return await super()._wait_next_records(_FETCH_WAIT_MS / 1000 if self._buffered_partitions else timeout)

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Keep none."""

    @property
    def thread(self) -> CommittedThread:
        """Where commits and positions are asked for."""
        return self._thread


class CommittedTransport(driver.Transport):  # type: ignore[misc]
    """The transport of those consumers."""

    Consumer = CommittedConsumer


class CommittedApp(faust.App):  # type: ignore[misc]
    """A Faust app over that transport."""

    def _new_transport(self) -> CommittedTransport:
        return CommittedTransport(self.conf.broker_consumer, self)
