"""What a worker knows of one source partition between two emissions, and how that becomes a delta. No broker here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl

from pipeline import logs
from pipeline.clock import Clock
from pipeline.config import WorkerSettings
from pipeline.events.batch import stack
from pipeline.fingerprint.aggregate import aggregate_each
from pipeline.fingerprint.dedup import Deduplicator
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import Delta
from pipeline.fingerprint.watermark import Watermark

HEARTBEAT_S = 5.0
SETTLE_EVENTS = 5_000

log = logs.get("worker")


@dataclass(frozen=True, slots=True)
class Memory:
    """What the events before ``offset`` left behind: their ids, and where event time had got to."""

    offset: int
    dedup: Deduplicator
    watermark: Watermark


class PartitionState:
    """Pending events of one partition, what was seen before, and its watermark.

    ``add`` takes the batches in offset order; ``emit`` hands out all that came since the last emission as one delta.
    Deltas are contiguous: each begins where the last ended. Not thread-safe.

    Args:
        partition: of the source topic.
        from_offset: the first offset that the first delta covers.
        settings: lateness, idleness, de-duplication, when an emission is due.
        clock: monotonic time for idleness and rhythm, wall time for ``emitted_at``.
        memory: of an earlier state of this partition; what came between its offset and ``from_offset`` is to be warmed.
    """

    def __init__(
        self,
        partition: int,
        from_offset: int,
        settings: WorkerSettings,
        clock: Clock,
        memory: Memory | None = None,
    ) -> None:
        self.partition = partition
        self._settings = settings
        self._clock = clock
        if memory is None:
            self._dedup = Deduplicator(timedelta(seconds=settings.dedup_window_s), settings.dedup_ids)
            self._watermark = Watermark(settings.lateness_s)
        else:
            self._dedup, self._watermark = memory.dedup.copy(), replace(memory.watermark)
        self._memory = self._remembered(from_offset)
        self._from = self._next = from_offset
        self._unsettled: list[pl.DataFrame] = []
        self._unsettled_events = 0
        self._pending: list[pl.DataFrame] = []
        self._events = self._duplicates = self._late = 0
        self._received_s = self._emitted_s = clock.monotonic()
        self._told_idle = False
        self._emitted_once = False

    @property
    def from_offset(self) -> int:
        """Where the next delta begins: everything before it was handed out by ``emit``."""
        return self._from

    @property
    def entities(self) -> Collection[str] | None:
        """What is told apart beside accounts; None: all."""
        return self._settings.entities

    @property
    def memory(self) -> Memory:
        """As it was at the last emission: what came since is not in it, and will come again."""
        return self._memory

    @property
    def next_offset(self) -> int:
        """The first offset not taken in yet."""
        return self._next

    @property
    def pending_events(self) -> int:
        """Events taken in and not emitted; those of the last batches perhaps with duplicates."""
        return self._events + self._unsettled_events

    @property
    def since_emitted_s(self) -> float:
        """How long ago the last emission was, or the beginning."""
        return self._clock.monotonic() - self._emitted_s

    @property
    def full(self) -> bool:
        """Whether so much is pending that an emission is due before anything more is taken in."""
        return self.pending_events >= self._settings.emit_events

    def warm(self, events: pl.DataFrame) -> None:
        """Remember ids and times of events that an earlier worker counted; needs the columns that ``add`` needs for
        de-duplication: ``event_id``, ``timestamp``, ``account_id``. To be called before the first ``add``.
        """
        self._dedup.warm(events)
        self._watermark.advance(events["timestamp"])
        self._memory = self._remembered(self._from)

    def add(self, offset: int, events: pl.DataFrame) -> None:
        """Take in the batch at ``offset``, as ``decode_events`` gives it.

        Raises:
            ValueError: the offset was taken in before; batches come in order.
        """
        self.skip(offset)
        self._received_s = self._clock.monotonic()
        self._told_idle = False
        if events.is_empty():
            return
        self._unsettled.append(events)
        self._unsettled_events += events.height
        if self._unsettled_events >= SETTLE_EVENTS:
            self._settle()

    def _settle(self) -> None:
        """Look for duplicates and late ones in the batches that came since the last time.

        In which batches they came makes no difference to either, and of a slow stream they are small: each for itself
        took as long as all that come between two emissions.
        """
        if not self._unsettled_events:
            return
        events = stack(self._unsettled)
        self._unsettled.clear()
        self._unsettled_events = 0
        forgotten = self._dedup.forgotten
        duplicate = self._dedup.duplicates(events)
        if self._dedup.forgotten > forgotten:
            log.warning("ids_forgotten", partition=self.partition, ids=self._dedup.forgotten - forgotten)
        if duplicate.any():
            events = events.filter(~pl.Series(duplicate))
            self._duplicates += int(duplicate.sum())
        self._late += self._watermark.advance(events["timestamp"])
        self._events += events.height
        if events.height:
            self._pending.append(events)

    def skip(self, offset: int) -> None:
        """Cover the message at ``offset`` without counting anything: it was damaged, or is no batch.

        Raises:
            ValueError: the offset was taken in before.
        """
        if offset < self._next:
            raise ValueError(f"partition {self.partition}: offset {offset} after {self._next - 1}")
        self._next = offset + 1

    def emit(self, *, generation: int, committed: int, at_end: bool = True) -> Delta | None:
        """Everything since the last emission as a delta; None where there is nothing to tell. See ``Emission``."""
        [delta] = emit_together([Emission(self, generation, committed, at_end=at_end)])
        return delta

    def close(self, *, generation: int, committed: int) -> Delta:
        """What is left as a last delta that says: nothing more will come. For input that ends, such as files."""
        [found] = aggregate_each([self.settled()], self.entities)
        return self.hand_out(Emission(self, generation, committed, at_end=True), *found, idle=True)

    def idle(self, *, at_end: bool) -> bool | None:
        """Whether it is idle; None where there is nothing to tell."""
        now_s = self._clock.monotonic()
        moved = self._next > self._from
        idle = at_end and not moved and now_s - self._received_s >= self._settings.idle_after_s
        due = now_s - self._emitted_s >= HEARTBEAT_S or (idle and not self._told_idle) or not self._emitted_once
        return idle if moved or due else None

    def settled(self) -> pl.DataFrame:
        """What is pending, less duplicates."""
        self._settle()
        self._pending = [stack(self._pending)]
        return self._pending[0]

    def hand_out(self, emission: Emission, panes: pl.DataFrame, links: pl.DataFrame, *, idle: bool) -> Delta:
        """What was ``settled`` as a delta, which the next one begins behind."""
        [events] = self._pending
        delta = Delta(
            partition=self.partition,
            generation=emission.generation,
            from_offset=self._from,
            to_offset=self._next,
            committed=emission.committed,
            watermark=self._watermark.value,
            idle=idle,
            emitted_at=self._clock.now(),
            events=self._events,
            duplicates=self._duplicates,
            late=self._late,
            panes=panes,
            links=links,
            distributions=distributions(events),
            loops=loops(events),
        )
        self._from = self._next
        self._memory = self._remembered(self._from)
        self._pending.clear()
        self._events = self._duplicates = self._late = 0
        self._emitted_s, self._told_idle, self._emitted_once = self._clock.monotonic(), idle, True
        return delta

    def _remembered(self, offset: int) -> Memory:
        return Memory(offset, self._dedup.copy(), replace(self._watermark))


@dataclass(frozen=True, slots=True)
class Emission:
    """One partition's turn to emit.

    With no new offsets there still is a delta, empty and covering none, when the partition has become idle, and every
    HEARTBEAT_S: so that whoever reads can tell a quiet partition from one without a worker.

    Args:
        state: the partition's.
        generation: of the consumer group.
        committed: input offset known to be committed.
        at_end: whether the partition was read to its end; only then may it be called idle.
    """

    state: PartitionState
    generation: int
    committed: int
    at_end: bool = True


def emit_together(emissions: Sequence[Emission]) -> list[Delta | None]:
    """A delta of each, or None, as if each were alone: most of what little there is to emit is done for all at once.

    Of different partitions. What raises leaves states that have handed out what nobody got: to be dropped.
    """
    idle = [one.state.idle(at_end=one.at_end) for one in emissions]
    due = [number for number, told in enumerate(idle) if told is not None]
    kinds = emissions[0].state.entities if emissions else None
    found = aggregate_each([emissions[number].state.settled() for number in due], kinds)
    deltas: list[Delta | None] = [None for _ in emissions]
    for number, (panes, links) in zip(due, found, strict=True):
        emission = emissions[number]
        deltas[number] = emission.state.hand_out(emission, panes, links, idle=bool(idle[number]))
    return deltas
