"""The partitions a worker has: takes their batches in, and sends, confirms and commits what comes of them.

The order of each emission, which is the promise "every event counts once": delta built → all its parts confirmed by
the broker → acknowledged → offset committed. What was not emitted when a partition is revoked is dropped: it comes
again, to whoever has the partition then, from the committed offset.

Each partition has a task of its own, so that one decodes while another waits for the broker; what takes time is done
in threads (Arrow, Polars and NumPy let go of the interpreter), and never two things of one partition at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import polars as pl
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, OffsetOutOfRangeError

from pipeline import logs
from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.errors import CorruptBatchError
from pipeline.events.batch import decode_events
from pipeline.faults import hit
from pipeline.fingerprint.partition import Emission, Memory, PartitionState, emit_together
from pipeline.fingerprint.publish import Publisher, dead_letter
from pipeline.fingerprint.schema import Delta
from pipeline.fingerprint.slot import Message, Slot, all_ours, few_at_a_time
from pipeline.fingerprint.warmup import side_reader, warm_up
from pipeline.metrics import Metrics

_RETRY_S: Final = 0.5
_THREADS: Final = 2
_FAR_BEHIND: Final = 40  # offsets: twenty batches and their markers, four seconds of a stream that is kept up with
_BEHIND_EMIT_S: Final = 3.0

_Made = TypeVar("_Made")

log = logs.get("worker")


class Group(Protocol):
    """What the consumer group is asked."""

    async def committed_position(self, partition: TopicPartition) -> tuple[int | None, int]:
        """Committed offset, and the first offset that the log still has."""
        ...

    async def commit_exactly(
        self, generation: int, offsets: Mapping[TopicPartition, int], ours: Callable[[], bool]
    ) -> bool:
        """Commit; False where the group has moved on, or ``ours`` says no."""
        ...

    def behind(self, partition: TopicPartition) -> int | None:
        """Offsets that are not read yet; None where that is not known."""
        ...


class Assignment:
    """All partitions that are ours at present. Lives in one event loop.

    Args:
        settings: topics and the worker's rhythm.
        reader_options: what reaches the broker, for the reader that warms a partition up.
        publisher: where deltas go.
        group: whose partitions these are.
        clock: handed on to the partitions.
        metrics: counted at confirmation.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reader_options: Mapping[str, Any],
        publisher: Publisher,
        group: Group,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._reader_options = reader_options
        self._publisher = publisher
        self._group = group
        self._clock = clock
        self._metrics = metrics
        self._slots: dict[int, Slot] = {}
        self._memories: dict[int, Memory] = {}  # of partitions that were ours a moment ago, and may be again
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="panes")
        self._committing = asyncio.Lock()
        self.draining = False

    def close(self) -> None:
        """End the threads; nothing is taken in afterwards, and what still opens a partition ends when it has."""
        # To cancel that is not enough: aiokafka's reader, being stopped, keeps a cancellation to itself. The partition
        # then waited for messages, and the process for the partition, for ever.
        self.revoke(list(self._slots))
        self._threads.shutdown(cancel_futures=True)

    def revoke(self, partitions: Iterable[int]) -> None:
        """Drop what these partitions have not emitted; nothing more is sent for them."""
        for number in partitions:
            slot = self._slots.pop(number, None)
            if slot is not None:
                slot.revoked = True
                if slot.state is not None:
                    self._memories[number] = slot.state.memory
                while not slot.waiting.empty():
                    slot.waiting.get_nowait()
                slot.waiting.put_nowait(None)  # ends its task

    def assign(self, partitions: Iterable[TopicPartition], generation: int) -> list[int]:
        """These partitions are ours in ``generation``; each is to be ``run`` next."""
        found = list(partitions)
        numbers = [partition.partition for partition in found]
        self.revoke(numbers)
        self._memories = {number: self._memories[number] for number in numbers if number in self._memories}
        for partition in found:
            self._slots[partition.partition] = Slot(partition, generation)
        return numbers

    async def run(self, number: int) -> None:
        """Open the partition, then take in what ``put`` brings, in order, for as long as it is ours.

        To open is to find where it stands and to refill its memory of ids; tried again while the broker is away.

        Raises:
            KafkaError: the broker answers, and refuses.
        """
        slot = self._slots.get(number)
        while slot is not None and not slot.revoked:
            try:
                await self._open(slot)
            except (KafkaError, OSError) as error:  # a time-out is an OSError
                if not _passes(error):
                    raise
                log.warning("open_retry", partition=number, error=type(error).__name__, detail=str(error)[:200])
                await asyncio.sleep(_RETRY_S)
            else:
                while (message := await slot.waiting.get()) is not None:
                    await self._take(slot, message)
                return

    async def put(
        self, number: int, offset: int, generation: int, value: bytes | None, chain: bytes | None = None
    ) -> None:
        """Hand one message to its partition; waits while others are before it, drops it where that is ours no more.

        ``chain`` is its number (``pipeline.events.chain``).
        """
        slot = self._slots.get(number)
        if slot is None or slot.generation != generation:
            return
        topic = self._settings.topics.events
        events = self._in_thread(lambda: decode_events(value, topic=topic, partition=number, offset=offset))
        events.add_done_callback(_seen)
        await slot.waiting.put(Message(offset, value, chain, events))

    async def _open(self, slot: Slot) -> None:
        number = slot.partition.partition
        committed, earliest = await self._group.committed_position(slot.partition)
        # Where the log begins behind the committed offset, events are lost: the delta then begins there, so that the
        # hole shows. In between, transaction markers make none.
        start = earliest if committed is None else max(committed, earliest)
        # A rebalance takes every partition away and gives most of them back: to read their hours of ids again would be
        # most of what it costs.
        memory = self._memories.get(number)
        if memory is not None and not earliest <= memory.offset <= start:
            memory = None
        known = earliest if memory is None else memory.offset
        state = PartitionState(number, start, self._settings.worker, self._clock, memory)
        warmed = 0
        if start > known:
            async with side_reader(self._reader_options) as reader:
                warmed = await warm_up(reader, slot.partition, state, self._settings.worker, end=start, earliest=known)
        if slot.revoked:
            return
        slot.committed = slot.acknowledged = start
        slot.state = state
        self._memories.pop(number, None)  # the state has it now, and changes
        log.info("partition_open", partition=number, offset=start, generation=slot.generation, warmed_events=warmed)

    async def _take(self, slot: Slot, message: Message) -> None:
        """Take one message in, and emit when so much is pending that an emission is due first."""
        async with slot.lock:
            state = slot.state
            if slot.revoked or state is None or message.offset < state.next_offset or self.draining:
                return
            self._follow(slot, message)
            try:
                await self._in_thread(state.add, message.offset, await message.events)
            except CorruptBatchError as error:
                await self._bury(slot, error, message.value)
                return
            except BaseException:
                # The state may have half of it: whatever it would emit would commit past the other half.
                slot.revoked = True
                raise
            hit("worker.received")
            self._show_pending()
            if not state.full:
                return
            await self._emit([slot], full=True)
        await self._commit([slot])

    def _follow(self, slot: Slot, message: Message) -> None:
        missing = slot.following.missing(message.chain)
        if missing:
            self._metrics.count("worker_missing_messages", missing)
            log.error("messages_missing", partition=slot.partition.partition, offset=message.offset, messages=missing)

    def _in_thread(self, work: Callable[..., _Made], *what: object) -> asyncio.Future[_Made]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *what)

    async def emit(self) -> None:
        """Emit every partition that has something to tell, then commit.

        One that is far behind waits until it is full, or a while: sooner would not be seen sooner by much, and of more
        events there are fewer rows an event, here and for whoever reads them.
        """
        slots = [slot for slot in self._slots.values() if slot.state is not None and not self._catches_up(slot)]
        await asyncio.gather(*(self._emit_locked(few) for few in few_at_a_time(slots)))
        await self._commit(slots)
        self._show_pending()

    def _catches_up(self, slot: Slot) -> bool:
        return (
            not self.draining
            and slot.state is not None
            and slot.state.since_emitted_s < _BEHIND_EMIT_S
            and (self._group.behind(slot.partition) or 0) > _FAR_BEHIND
        )

    async def _emit_locked(self, slots: Sequence[Slot]) -> None:
        async with contextlib.AsyncExitStack() as locks:
            for slot in slots:
                await locks.enter_async_context(slot.lock)
            await self._emit([slot for slot in slots if not slot.revoked])

    async def _emit(self, slots: Sequence[Slot], *, full: bool = False) -> None:
        """Build the deltas of these, together, and send each; their locks are held."""
        emissions = {
            slot.partition: Emission(
                slot.state,
                slot.generation,
                slot.committed,
                at_end=not full and slot.waiting.empty() and self._group.behind(slot.partition) == 0,
            )
            for slot in slots
            if slot.state is not None
        }
        try:
            found = await self._in_thread(emit_together, list(emissions.values()))
        except BaseException:
            # The states may have handed out what nobody got.
            for slot in slots:
                slot.revoked = True
            raise
        deltas = dict(zip(emissions, found, strict=True))
        await asyncio.gather(*(self._send(slot, deltas.get(slot.partition)) for slot in slots))

    async def _send(self, slot: Slot, delta: Delta | None) -> None:
        if delta is None:
            return
        try:
            hit("worker.delta_built")
            if not await self._publisher.send_delta(delta, ours=lambda: not slot.revoked):
                return
        except BaseException:
            # The state has handed this delta out: a later one, without it, would make a hole and commit past it.
            slot.revoked = True
            raise
        hit("worker.delta_confirmed")
        slot.acknowledged = delta.to_offset
        self._count(delta)

    async def _commit(self, slots: list[Slot]) -> None:
        """Commit what is acknowledged, a call a generation (in practice one)."""
        # One at a time: a commit that is tried again after a later one would take the group's offset back, behind what
        # the store has folded on the strength of the later one.
        async with self._committing:
            behind = [slot for slot in slots if slot.acknowledged > slot.committed and not slot.revoked]
            if not behind:
                return
            hit("worker.acknowledged")
            for generation in {slot.generation for slot in behind}:
                its = [slot for slot in behind if slot.generation == generation]
                wanted = {slot.partition: slot.acknowledged for slot in its}
                if await self._group.commit_exactly(generation, wanted, ours=all_ours(its)):
                    for slot in its:
                        slot.committed = wanted[slot.partition]

    async def _bury(self, slot: Slot, error: CorruptBatchError, value: bytes | None) -> None:
        """Report a batch that cannot be read; its offset is covered by the next delta."""
        assert slot.state is not None
        log.error("corrupt_batch", partition=error.partition, offset=error.offset, reason=error.reason)
        self._metrics.count("worker_corrupt_messages")
        if await self._publisher.send_dead_letter(
            dead_letter(error, value, self._clock, keep_bytes=self._settings.privacy.dead_letter_bytes),
            ours=lambda: not slot.revoked,
        ):
            slot.state.skip(error.offset)

    def _count(self, delta: Delta) -> None:
        self._metrics.count("worker_deltas")
        self._metrics.count("worker_events", delta.events)
        self._metrics.count("worker_duplicates", delta.duplicates)
        self._metrics.count("worker_late", delta.late)

    def _show_pending(self) -> None:
        pending = sum(slot.state.pending_events for slot in self._slots.values() if slot.state is not None)
        self._metrics.set("worker_pending_events", pending)


def _seen(decoding: asyncio.Future[pl.DataFrame]) -> None:
    """Whoever takes the message meets the error; where nobody does, it is of no account."""
    if not decoding.cancelled():
        decoding.exception()


def _passes(error: KafkaError | OSError) -> bool:
    """Whether trying again may help: the broker was away, or the log's beginning moved while it was read."""
    return isinstance(error, OSError | KafkaTimeoutError | OffsetOutOfRangeError) or bool(error.retriable)
