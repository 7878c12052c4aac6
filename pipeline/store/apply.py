"""Applies deltas exactly once: a delta replaces what its partition had from its first offset on.

A worker that starts again begins at the ``to_offset`` of some earlier delta, so it rewrites the tail of its log and
never overlaps it (docs/promises.md, 1). What is folded is below what the workers have committed and is never rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import polars as pl

from pipeline.errors import Hole
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.fingerprint.schema import DISTRIBUTIONS, LINKS, LOOPS, PANES, Delta
from pipeline.store.transaction import Transaction
from pipeline.store.watermark import PartitionWord

# zombie: of a worker that was expelled. folded: all of it is final already. overlaps_folded, overlaps: it begins inside
# what is final, or inside another delta; neither happens unless offsets were set by hand, and events may be missing.
RefusedReason = Literal["zombie", "folded", "overlaps_folded", "overlaps"]

_LOG: Final = pl.Schema(
    {
        "source_partition": pl.Int32(),
        "generation": pl.Int64(),
        "from_offset": pl.Int64(),
        "to_offset": pl.Int64(),
        "events": pl.Int64(),
        "duplicates": pl.Int64(),
        "late": pl.Int64(),
        "watermark": UTC_MICROSECONDS,
        "emitted_at": UTC_MICROSECONDS,
        "applied_at": UTC_MICROSECONDS,
        "folded": pl.Boolean(),
    }
)
_STATE: Final = pl.Schema(
    {
        "source_partition": pl.Int32(),
        "generation": pl.Int64(),
        "applied_to": pl.Int64(),
        "folded_to": pl.Int64(),
        "committed": pl.Int64(),
        "watermark": UTC_MICROSECONDS,
        "idle": pl.Boolean(),
        "last_word_at": UTC_MICROSECONDS,
    }
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A delta that was not applied, and why."""

    delta: Delta
    reason: RefusedReason


@dataclass(frozen=True, slots=True)
class Applied:
    """What one batch of deltas did."""

    applied: int = 0  # deltas that stand; not those that a later one of the batch replaced
    rows: int = 0  # of panes, links, distributions and loops
    events: int = 0
    duplicates: int = 0
    late: int = 0
    refused: Sequence[Refused] = ()
    holes: Sequence[Hole] = ()
    changed: frozenset[datetime] = frozenset()  # starts of the panes that were touched
    words: Mapping[int, PartitionWord] = field(default_factory=dict)  # of the partitions that spoke
    oldest_emitted_at: datetime | None = None

    @property
    def changed_since(self) -> datetime | None:
        """Start of the oldest pane that was touched."""
        return min(self.changed, default=None)


@dataclass(slots=True)
class _Partition:
    """A partition's state while a batch is judged, what of the batch stands, and from where the store is rewritten."""

    partition: int
    generation: int = -1
    applied_to: int | None = None
    folded_to: int = 0
    committed: int = 0
    watermark: datetime | None = None
    idle: bool = False
    last_word_at: datetime | None = None
    stands: list[Delta] = field(default_factory=list)
    rewrite_from: int | None = None

    def truncate(self, from_offset: int) -> None:
        """Forget what begins at or after an offset."""
        self.stands = [delta for delta in self.stands if delta.from_offset < from_offset]
        if self.rewrite_from is None or from_offset < self.rewrite_from:
            self.rewrite_from = from_offset

    def hear(self, delta: Delta, now: datetime) -> None:
        """Take over what a delta says about the partition."""
        self.generation = delta.generation
        self.committed = max(self.committed, delta.committed)
        if delta.watermark is not None and (self.watermark is None or delta.watermark > self.watermark):
            self.watermark = delta.watermark
        self.idle = delta.idle
        self.last_word_at = now


def apply_deltas(tx: Transaction, deltas: Sequence[Delta]) -> Applied:
    """Apply deltas in the order given, which for each partition is the order of its log.

    Applying a delta again changes nothing, provided that what followed it in the log follows again.

    Args:
        tx: the open transaction; nothing stands before it is committed.
        deltas: whole ones, from ``DeltaAssembler``.
    """
    if not deltas:
        return Applied()
    now = tx.now
    states = _read_states(tx)
    refused: list[Refused] = []
    holes: list[Hole] = []
    touched: dict[int, _Partition] = {}
    for delta in deltas:
        state = states.setdefault(delta.partition, _Partition(delta.partition))
        reason = _judge(tx, state, delta)
        if reason is not None:
            refused.append(Refused(delta, reason))
            continue
        touched[delta.partition] = state
        state.hear(delta, now)
        if delta.from_offset == delta.to_offset:
            continue
        if state.applied_to is not None and delta.from_offset > state.applied_to:
            holes.append(Hole(delta.partition, state.applied_to, delta.from_offset))
        if state.applied_to is not None and delta.from_offset < state.applied_to:
            state.truncate(delta.from_offset)
            holes = [h for h in holes if h.partition != delta.partition or h.expected < delta.from_offset]
        state.stands.append(delta)
        state.applied_to = delta.to_offset
    changed = _rewrite(tx, touched.values())
    standing = [delta for state in touched.values() for delta in state.stands]
    rows = _insert(tx, standing, now)
    _write_states(tx, touched.values())
    _write_holes(tx, holes, now)
    for delta in standing:
        changed.update(delta.panes["pane"].unique())
    return Applied(
        applied=len(standing),
        rows=rows,
        events=sum(delta.events for delta in standing),
        duplicates=sum(delta.duplicates for delta in standing),
        late=sum(delta.late for delta in standing),
        refused=refused,
        holes=holes,
        changed=frozenset(changed),
        words={
            state.partition: PartitionWord(state.partition, state.watermark, state.idle, now)
            for state in touched.values()
        },
        oldest_emitted_at=min((delta.emitted_at for delta in standing), default=None),
    )


def _judge(tx: Transaction, state: _Partition, delta: Delta) -> RefusedReason | None:
    if delta.generation < state.generation:
        return "zombie"
    if delta.from_offset == delta.to_offset:
        return None
    if delta.from_offset < state.folded_to:
        return "folded" if delta.to_offset <= state.folded_to else "overlaps_folded"
    if state.applied_to is not None and delta.from_offset < state.applied_to:
        before = [item.to_offset for item in state.stands if item.from_offset < delta.from_offset]
        if not before:
            stored = tx.execute(
                "select max(to_offset) from delta_log "
                "where source_partition = $partition and from_offset < $from_offset and not folded",
                {"partition": delta.partition, "from_offset": delta.from_offset},
            ).fetchone()
            before = [stored[0]] if stored and stored[0] is not None else []
        if before and max(before) > delta.from_offset:
            return "overlaps"
    return None


def _read_states(tx: Transaction) -> dict[int, _Partition]:
    rows = tx.execute(
        "select source_partition, generation, applied_to, folded_to, committed, watermark, idle, last_word_at "
        "from partition_state"
    ).fetchall()
    return {row[0]: _Partition(*row) for row in rows}


def _rewrite(tx: Transaction, states: Iterable[_Partition]) -> set[datetime]:
    changed: set[datetime] = set()
    for state in states:
        if state.rewrite_from is None:
            continue
        where = {"partition": state.partition, "from_offset": state.rewrite_from}
        gone = tx.execute(
            "select distinct pane from pane_delta where source_partition = $partition and from_offset >= $from_offset",
            where,
        ).fetchall()
        changed.update(row[0] for row in gone)
        for table in ("pane_delta", "link_delta", "distribution_delta", "loop_delta"):
            tx.execute(
                f"delete from {table} where source_partition = $partition and from_offset >= $from_offset",  # noqa: S608 - a literal
                where,
            )
        tx.execute(
            "delete from delta_log where source_partition = $partition and from_offset >= $from_offset and not folded",
            where,
        )
        tx.execute(
            "delete from hole where source_partition = $partition and expected_offset >= $from_offset "
            "and not past_epoch",
            where,
        )
    return changed


def _insert(tx: Transaction, deltas: Sequence[Delta], now: datetime) -> int:
    if not deltas:
        return 0
    rows = tx.insert("pane_delta", _sourced(PANES, [(delta, delta.panes) for delta in deltas]))
    rows += tx.insert("link_delta", _sourced(LINKS, [(delta, delta.links) for delta in deltas]))
    sums = [(delta, delta.distributions) for delta in deltas]
    rows += tx.insert("distribution_delta", _sourced(DISTRIBUTIONS, sums))
    rows += tx.insert("loop_delta", _sourced(LOOPS, [(delta, delta.loops) for delta in deltas]))
    tx.insert(
        "delta_log",
        pl.DataFrame(
            [
                (
                    delta.partition,
                    delta.generation,
                    delta.from_offset,
                    delta.to_offset,
                    delta.events,
                    delta.duplicates,
                    delta.late,
                    delta.watermark,
                    delta.emitted_at,
                    now,
                    False,
                )
                for delta in deltas
            ],
            schema=_LOG,
            orient="row",
        ),
    )
    return rows


def _sourced(schema: pl.Schema, parts: Sequence[tuple[Delta, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat(
        [
            schema.to_frame().with_columns(
                pl.lit(0, pl.Int32).alias("source_partition"), pl.lit(0, pl.Int64).alias("from_offset")
            ),
            *(
                frame.with_columns(
                    pl.lit(delta.partition, pl.Int32).alias("source_partition"),
                    pl.lit(delta.from_offset, pl.Int64).alias("from_offset"),
                )
                for delta, frame in parts
                if frame.height
            ),
        ]
    )


def _write_states(tx: Transaction, states: Iterable[_Partition]) -> None:
    rows = [
        (s.partition, s.generation, s.applied_to, s.folded_to, s.committed, s.watermark, s.idle, s.last_word_at)
        for s in states
    ]
    if rows:
        tx.execute(
            "delete from partition_state where source_partition in (select unnest($partitions::integer[]))",
            {"partitions": [row[0] for row in rows]},
        )
        tx.insert("partition_state", pl.DataFrame(rows, schema=_STATE, orient="row"))


def _write_holes(tx: Transaction, holes: Sequence[Hole], now: datetime) -> None:
    for hole in holes:
        tx.execute(
            "insert into hole values ($partition, $expected, $found, $now, false)",
            {"partition": hole.partition, "expected": hole.expected, "found": hole.found, "now": now},
        )
