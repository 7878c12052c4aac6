"""Folding: what can no longer be rewritten becomes final, then moves into panes, hours and days.

In two steps. Deltas become final by offset: all of a partition up to ``folded_to``, which is below what the workers
have committed; a delta from before it is refused from then on. Their rows move later, a portion of entities at a time
and only those of panes that are over, so that each entity and pane moves once and no transaction is long. A row counts
in ``pane_delta`` until the transaction that moves it, and in ``pane``, ``hour`` and ``day`` from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pipeline.fingerprint.schema import PANE_S
from pipeline.store.move import Portion, move, portions
from pipeline.store.transaction import Transaction

CHUNK_ROWS: Final = 80_000  # moved in a transaction, about
MAX_UNFOLDED_ROWS: Final = 10_000_000  # above it, rows of panes that are not over move too
_FOR_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Folded:
    """What one turn did. ``more``: there is more to move, call again when there is time."""

    rows: int = 0
    more: bool = False


@dataclass(slots=True)
class Folder:
    """Folds in turns. Keeps only which portions of the current pass are left: a new one begins a new pass."""

    chunk_rows: int = CHUNK_ROWS
    max_unfolded_rows: int = MAX_UNFOLDED_ROWS
    _left: list[Portion] = field(default_factory=list)
    _before: datetime = _FOR_EVER

    def turn(self, tx: Transaction, watermark: datetime | None) -> Folded:
        """Make deltas final when a pass begins, else move the next portion. Does nothing when nothing is due.

        Args:
            tx: a transaction for this alone.
            watermark: event time up to which panes are over; None: only too many rows make it fold.
        """
        if not self._left:
            self._begin(tx, watermark)
            if not self._left:
                return Folded()
        return Folded(move(tx, self._left.pop(0), self._before), more=bool(self._left))

    def forget(self) -> None:
        """Begin anew: the transaction of the last turn was rolled back."""
        self._left.clear()

    def _begin(self, tx: Transaction, watermark: datetime | None) -> None:
        rows = sum(_count(tx, table) for table in ("pane_delta", "link_delta", "distribution_delta", "loop_delta"))
        forced = rows > self.max_unfolded_rows
        if not rows or (watermark is None and not forced):
            return
        self._before = _FOR_EVER if forced or watermark is None else floor_pane(watermark)
        finalise(tx, _FOR_EVER if forced else self._before)
        self._left = portions(tx, self._before, self.chunk_rows)


def fold(tx: Transaction, *, watermark: datetime | None) -> Folded:
    """A whole pass at once: for small stores, files and tests."""
    folder = Folder()
    rows, more = 0, True
    while more:
        turn = folder.turn(tx, watermark)
        rows, more = rows + turn.rows, turn.more
    return Folded(rows)


def fold_everything(tx: Transaction) -> None:
    """Make all that is applied final, committed or not, and move it: nothing will rewrite it any more."""
    tx.execute("update partition_state set folded_to = applied_to where applied_to is not null")
    _merge_log(tx)
    for portion in portions(tx, _FOR_EVER, CHUNK_ROWS):
        move(tx, portion, _FOR_EVER)


def floor_pane(when: datetime) -> datetime:
    """Start of the pane that ``when`` is in."""
    return datetime.fromtimestamp(int(when.timestamp()) // PANE_S * PANE_S, UTC)


def finalise(tx: Transaction, before: datetime) -> None:
    """Raise ``folded_to`` over the committed deltas of each partition whose watermark was not past ``before``."""
    tx.execute(
        """
        update partition_state
        set folded_to = greatest(partition_state.folded_to, reached.folded_to)
        from (
            with judged as (
                select
                    delta_log.source_partition,
                    delta_log.from_offset,
                    delta_log.to_offset,
                    delta_log.to_offset > partition_state.committed
                    or coalesce(delta_log.watermark > $before, false) as stays
                from delta_log
                inner join partition_state on delta_log.source_partition = partition_state.source_partition
                where not delta_log.folded
            ),

            edge as (
                select source_partition, min(from_offset) filter (where stays) as first_stays
                from judged
                group by source_partition
            )

            select judged.source_partition, max(judged.to_offset) as folded_to
            from judged
            inner join edge on judged.source_partition = edge.source_partition
            where edge.first_stays is null or judged.from_offset < edge.first_stays
            group by judged.source_partition
        ) as reached
        where partition_state.source_partition = reached.source_partition
        """,
        {"before": before},
    )
    _merge_log(tx)


def _merge_log(tx: Transaction) -> None:
    """One row of the log for all final deltas of a partition."""
    tx.execute(
        """
        create or replace temp table fold_log as
        select
            delta_log.source_partition, max(generation) as generation, min(from_offset) as from_offset,
            max(to_offset) as to_offset, sum(events)::bigint as events, sum(duplicates)::bigint as duplicates,
            sum(late)::bigint as late, max(watermark) as watermark, max(emitted_at) as emitted_at,
            max(applied_at) as applied_at, true as folded
        from delta_log
        where folded or to_offset <= (
            select folded_to from partition_state where partition_state.source_partition = delta_log.source_partition
        )
        group by delta_log.source_partition
        """
    )
    tx.execute(
        "delete from delta_log where folded or to_offset <= (select folded_to from partition_state "
        "where partition_state.source_partition = delta_log.source_partition)"
    )
    tx.execute("insert into delta_log by name select * from fold_log")
    tx.execute("drop table fold_log")


def _count(tx: Transaction, table: str) -> int:
    row = tx.execute(f"select count(*) from {table}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0
