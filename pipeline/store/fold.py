"""Folding: what can no longer be rewritten becomes final, then moves into panes, hours and days.

In two steps. Deltas become final by offset: all of a partition up to ``folded_to``, which is below what the workers
have committed; a delta from before it is refused from then on. Their rows move later, a bucket of entities at a time
and only those of panes that are over, so that each entity and pane moves once and no transaction is long. A row counts
in ``pane_delta`` until the transaction that moves it, and in ``pane``, ``hour`` and ``day`` from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import polars as pl

from pipeline.faults import hit
from pipeline.fingerprint.schema import PANE_S
from pipeline.store.columns import LINK_KEY, LINK_MERGE, PANE_MERGE, SEEN_MERGE
from pipeline.store.levels import BUCKETS, DAY, HOUR, LINK_DAY, LINK_HOUR, PANE, SEEN, WHOLE, note_rows
from pipeline.store.transaction import Transaction

CHUNK_ROWS: Final = 100_000  # moved in a transaction, about; a second at most
MAX_UNFOLDED_ROWS: Final = 3_000_000  # above it, rows of panes that are not over move too
_FOR_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_BUCKET_EPOCH: Final = "timestamptz '1970-01-01 00:00:00+00'"

_FINAL: Final = "pane_delta.from_offset < partition_state.folded_to and pane_delta.pane < $before"
_FINAL_LINK: Final = "link_delta.from_offset < partition_state.folded_to"


@dataclass(frozen=True, slots=True)
class Folded:
    """What one turn did. ``more``: there is more to move, call again when there is time."""

    rows: int = 0
    more: bool = False


@dataclass(slots=True)
class Folder:
    """Folds in turns. Keeps only which buckets of the current pass are left: a new one begins a new pass."""

    chunk_rows: int = CHUNK_ROWS
    max_unfolded_rows: int = MAX_UNFOLDED_ROWS
    _left: list[tuple[int, int]] = field(default_factory=list)
    _before: datetime = _FOR_EVER

    def turn(self, tx: Transaction, watermark: datetime | None) -> Folded:
        """Make deltas final when a pass begins, else move the next buckets. Does nothing when nothing is due.

        Args:
            tx: a transaction for this alone.
            watermark: event time up to which panes are over; None: only too many rows make it fold.
        """
        if not self._left:
            self._begin(tx, watermark)
            if not self._left:
                return Folded()
        low, high = self._left.pop(0)
        return Folded(move(tx, low, high, self._before), more=bool(self._left))

    def forget(self) -> None:
        """Begin anew: the transaction of the last turn was rolled back."""
        self._left.clear()

    def _begin(self, tx: Transaction, watermark: datetime | None) -> None:
        rows = _count(tx, "pane_delta") + _count(tx, "link_delta")
        forced = rows > self.max_unfolded_rows
        if not rows or (watermark is None and not forced):
            return
        self._before = _FOR_EVER if forced or watermark is None else floor_pane(watermark)
        finalise(tx, _FOR_EVER if forced else self._before)
        movable = _movable(tx, self._before)
        if movable:
            pieces = min(BUCKETS, -(-movable // self.chunk_rows))
            edges = [BUCKETS * piece // pieces for piece in range(pieces + 1)]
            self._left = list(pairwise(edges))


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
    move(tx, 0, BUCKETS, _FOR_EVER)


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


def move(tx: Transaction, low: int, high: int, before: datetime) -> int:
    """Move final rows of buckets ``[low, high)`` and of panes before ``before``; return how many were there."""
    where = {"low": low, "high": high, "before": before}
    rows = _move_panes(tx, where) + _move_links(tx, {"low": low, "high": high})
    hit("serve.folding")
    return rows


def _move_panes(tx: Transaction, where: dict[str, object]) -> int:
    bucket = f"hash(entity_id) % {BUCKETS}"
    tx.execute(
        f"""
        create or replace temp table fold_pane as
        select kind, entity_id, pane as window_start, {bucket} as bucket, {PANE_MERGE}
        from pane_delta
        inner join partition_state on pane_delta.source_partition = partition_state.source_partition
        where {_FINAL} and {bucket} >= $low and {bucket} < $high
        group by kind, entity_id, pane
        """,  # noqa: S608 - names of our own
        where,
    )
    gone = tx.execute(
        f"delete from pane_delta using partition_state "  # noqa: S608
        f"where pane_delta.source_partition = partition_state.source_partition and {_FINAL} "
        f"and {bucket} >= $low and {bucket} < $high",
        where,
    ).fetchone()
    for source, target, length in (("fold_pane", "fold_hour", "1 hour"), ("fold_hour", "fold_day", "1 day")):
        tx.execute(
            f"create or replace temp table {target} as select kind, entity_id, "  # noqa: S608
            f"time_bucket(interval '{length}', source.window_start, {_BUCKET_EPOCH}) as window_start, "
            f"any_value(bucket) as bucket, {PANE_MERGE} from {source} as source group by 1, 2, 3"
        )
    tx.execute(
        f"create or replace temp table fold_seen as select entity_id as account_id, any_value(bucket) as bucket, "  # noqa: S608
        f"{SEEN_MERGE} from fold_day where kind = 'account' group by 1"
    )
    counts = []
    for source, level in (("fold_pane", PANE), ("fold_hour", HOUR), ("fold_day", DAY), ("fold_seen", SEEN)):
        counts.append(_append(tx, source, level.table, level.window, buckets=level is not PANE))
    note_rows(tx, pl.concat(counts))
    return int(gone[0]) if gone else 0


def _move_links(tx: Transaction, where: dict[str, object]) -> int:
    bucket = f"hash(source_id) % {BUCKETS}"
    key = ", ".join(LINK_KEY)
    tx.execute(
        f"""
        create or replace temp table fold_link_hour as
        select hour, {key}, {bucket} as bucket, {LINK_MERGE}
        from link_delta
        inner join partition_state on link_delta.source_partition = partition_state.source_partition
        where {_FINAL_LINK} and {bucket} >= $low and {bucket} < $high
        group by hour, {key}
        """,  # noqa: S608
        where,
    )
    gone = tx.execute(
        f"delete from link_delta using partition_state "  # noqa: S608
        f"where link_delta.source_partition = partition_state.source_partition and {_FINAL_LINK} "
        f"and {bucket} >= $low and {bucket} < $high",
        where,
    ).fetchone()
    tx.execute(
        f"create or replace temp table fold_link_day as select "  # noqa: S608
        f"time_bucket(interval '1 day', hour, {_BUCKET_EPOCH}) as day, {key}, any_value(bucket) as bucket, "
        f"{LINK_MERGE} from fold_link_hour group by day, {key}"
    )
    counts = [
        _append(tx, "fold_link_hour", LINK_HOUR.table, LINK_HOUR.window, buckets=True),
        _append(tx, "fold_link_day", LINK_DAY.table, LINK_DAY.window, buckets=True),
    ]
    note_rows(tx, pl.concat(counts))
    return int(gone[0]) if gone else 0


def _append(tx: Transaction, source: str, target: str, window: str | None, *, buckets: bool) -> pl.DataFrame:
    tx.execute(f"insert into {target} by name select * exclude (bucket) from {source}")  # noqa: S608
    counted = tx.frame(
        f"select '{target}' as level, {window or _BUCKET_EPOCH} as window_start, "  # noqa: S608
        f"{'bucket' if buckets else WHOLE}::integer as bucket, count(*) as rows from {source} group by all"
    )
    tx.execute(f"drop table {source}")
    return counted


def _count(tx: Transaction, table: str) -> int:
    row = tx.execute(f"select count(*) from {table}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _movable(tx: Transaction, before: datetime) -> int:
    row = tx.execute(
        f"select (select count(*) from pane_delta inner join partition_state "  # noqa: S608
        f"on pane_delta.source_partition = partition_state.source_partition where {_FINAL}) "
        f"+ (select count(*) from link_delta inner join partition_state "
        f"on link_delta.source_partition = partition_state.source_partition where {_FINAL_LINK})",
        {"before": before},
    ).fetchone()
    return int(row[0]) if row else 0
