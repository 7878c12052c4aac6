"""Moves final rows from the deltas into panes, hours and days: the second step of folding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, Literal

from pipeline.faults import hit
from pipeline.store.columns import DISTRIBUTION_MERGE, LINK_KEY, LINK_MERGE, LOOP_MERGE, PANE_MERGE, SEEN_MERGE
from pipeline.store.levels import (
    DAY,
    DISTRIBUTION_HOUR,
    HOUR,
    LINK_DAY,
    LINK_HOUR,
    LOOP_HOUR,
    ORIGIN,
    PANE,
    PARTS,
    SEEN,
    append,
)
from pipeline.store.transaction import Transaction

_FINAL_PANE: Final = """
pane_delta inner join partition_state on pane_delta.source_partition = partition_state.source_partition
where pane_delta.from_offset < partition_state.folded_to and pane_delta.pane < $before
"""
_FINAL_LINK: Final = """
link_delta inner join partition_state on link_delta.source_partition = partition_state.source_partition
where link_delta.from_offset < partition_state.folded_to
"""
_FINAL_DISTRIBUTION: Final = """
distribution_delta inner join partition_state
on distribution_delta.source_partition = partition_state.source_partition
where distribution_delta.from_offset < partition_state.folded_to
"""
_FINAL_LOOP: Final = """
loop_delta inner join partition_state on loop_delta.source_partition = partition_state.source_partition
where loop_delta.from_offset < partition_state.folded_to
"""
_Table = Literal["pane_delta", "link_delta", "distribution_delta", "loop_delta"]


@dataclass(frozen=True, slots=True)
class Portion:
    """What one transaction moves: parts ``[low, high)`` of some kinds of entities."""

    table: _Table
    kinds: tuple[str, ...]  # of a link: of its target; distributions and loops are of one kind, the empty one
    low: int = 0
    high: int = PARTS
    source_kind: str = ""  # of a link


def portions(tx: Transaction, before: datetime, chunk_rows: int) -> list[Portion]:
    """What there is to move, in portions of about ``chunk_rows``: small kinds together, large ones in parts."""
    panes = tx.execute(f"select kind, count(*) from {_FINAL_PANE} group by kind order by kind", {"before": before})  # noqa: S608 - literals
    found = list(_portions("pane_delta", "", dict(panes.fetchall()), chunk_rows))
    links = tx.execute(
        f"select source_kind, target_kind, count(*) from {_FINAL_LINK} group by all order by all"  # noqa: S608
    ).fetchall()
    for source_kind in sorted({row[0] for row in links}):
        counts = {row[1]: row[2] for row in links if row[0] == source_kind}
        found += _portions("link_delta", source_kind, counts, chunk_rows)
    sums = tx.execute(f"select '' as kind, count(*) from {_FINAL_DISTRIBUTION} having count(*) > 0").fetchall()  # noqa: S608
    found += _portions("distribution_delta", "", dict(sums), chunk_rows)
    passages = tx.execute(f"select '' as kind, count(*) from {_FINAL_LOOP} having count(*) > 0").fetchall()  # noqa: S608
    found += _portions("loop_delta", "", dict(passages), chunk_rows)
    return found


def _portions(table: _Table, source_kind: str, counts: dict[str, int], chunk_rows: int) -> Iterator[Portion]:
    small: list[str] = []
    room = chunk_rows
    for kind, count in counts.items():
        pieces = min(PARTS, -(-count // chunk_rows))
        if pieces > 1:
            edges = [PARTS * piece // pieces for piece in range(pieces + 1)]
            for low, high in pairwise(edges):
                yield Portion(table, (kind,), low, high, source_kind)
            continue
        if count > room and small:
            yield Portion(table, tuple(small), source_kind=source_kind)
            small, room = [], chunk_rows
        small.append(kind)
        room -= count
    if small:
        yield Portion(table, tuple(small), source_kind=source_kind)


def move(tx: Transaction, portion: Portion, before: datetime) -> int:
    """Move one portion, of panes before ``before``; return how many rows of deltas it was."""
    bound: dict[str, object] = {}
    parts = "true"
    if (portion.low, portion.high) != (0, PARTS):
        parts = "{part} >= $low and {part} < $high"
        bound |= {"low": portion.low, "high": portion.high}
    kinds = {"kinds": list(portion.kinds)}
    if portion.table == "pane_delta":
        rows = _move_panes(tx, {**bound, **kinds, "before": before}, parts.format(part=PANE.part))
    elif portion.table == "link_delta":
        where = {**bound, **kinds, "source_kind": portion.source_kind}
        rows = _move_links(tx, where, parts.format(part=LINK_HOUR.part))
    elif portion.table == "distribution_delta":
        rows = _move_distributions(tx, bound, parts.format(part=DISTRIBUTION_HOUR.part))
    else:
        rows = _move_loops(tx, bound, parts.format(part=LOOP_HOUR.part))
    hit("serve.folding")
    return rows


def _move_panes(tx: Transaction, bound: dict[str, object], parts: str) -> int:
    where = f"kind in (select unnest($kinds::varchar[])) and {parts}"
    tx.execute(
        f"create or replace temp table fold_pane as select kind, entity_id, pane as window_start, {PANE_MERGE} "  # noqa: S608
        f"from {_FINAL_PANE} and {where} group by kind, entity_id, pane",
        bound,
    )
    rows = _delete(tx, "pane_delta", f"pane_delta.pane < $before and {where}", bound)
    hours = _coarser(tx, "fold_pane", "fold_hour", 1)
    days = _coarser(tx, "fold_hour", "fold_day", 24)
    tx.execute(
        f"create or replace temp table fold_seen as select entity_id as account_id, {SEEN_MERGE} "  # noqa: S608
        "from fold_day where kind = 'account' group by entity_id"
    )
    for source, level in (("fold_pane", PANE), (hours, HOUR), (days, DAY), ("fold_seen", SEEN)):
        append(tx, source, level)
    for table in ("fold_pane", "fold_hour", "fold_day", "fold_seen"):
        tx.execute(f"drop table {table}")
    return rows


def _coarser(tx: Transaction, source: str, target: str, length_h: int) -> str:
    """The rows of ``source`` by hour or day. Where each has one window only, as is usual, there is nothing to merge."""
    # In hours: by `interval '1 day'` DuckDB asks the calendar for every row, which takes 160 times as long.
    start = f"time_bucket(interval '{length_h} hours', finer.window_start, {ORIGIN})"
    row = tx.execute(
        f"select count(distinct window_start) = count(distinct {start}) from {source} as finer"  # noqa: S608
    ).fetchone()
    if row and row[0]:
        tx.execute(
            f"create or replace temp table {target} as select finer.* replace ({start} as window_start) "  # noqa: S608
            f"from {source} as finer"
        )
    else:
        tx.execute(
            f"create or replace temp table {target} as select kind, entity_id, {start} as window_start, {PANE_MERGE} "  # noqa: S608
            f"from {source} as finer group by 1, 2, 3"
        )
    return target


def _move_links(tx: Transaction, bound: dict[str, object], parts: str) -> int:
    key = ", ".join(LINK_KEY)
    where = f"source_kind = $source_kind and target_kind in (select unnest($kinds::varchar[])) and {parts}"
    tx.execute(
        f"create or replace temp table fold_link as select hour, {key}, {LINK_MERGE} "  # noqa: S608
        f"from {_FINAL_LINK} and {where} group by hour, {key}",
        bound,
    )
    rows = _delete(tx, "link_delta", where, bound)
    tx.execute(
        f"create or replace temp table fold_link_day as select "  # noqa: S608
        f"time_bucket(interval '24 hours', hour, {ORIGIN}) as day, {key}, {LINK_MERGE} "
        f"from fold_link group by day, {key}"
    )
    append(tx, "fold_link", LINK_HOUR)
    append(tx, "fold_link_day", LINK_DAY)
    tx.execute("drop table fold_link")
    tx.execute("drop table fold_link_day")
    return rows


def _move_distributions(tx: Transaction, bound: dict[str, object], parts: str) -> int:
    tx.execute(
        f"create or replace temp table fold_distribution as select hour, account_id, {DISTRIBUTION_MERGE} "  # noqa: S608
        f"from {_FINAL_DISTRIBUTION} and {parts} group by hour, account_id",
        bound,
    )
    rows = _delete(tx, "distribution_delta", parts, bound)
    append(tx, "fold_distribution", DISTRIBUTION_HOUR)
    tx.execute("drop table fold_distribution")
    return rows


def _move_loops(tx: Transaction, bound: dict[str, object], parts: str) -> int:
    key = ", ".join(LOOP_HOUR.key)
    tx.execute(
        f"create or replace temp table fold_loop as select {key}, {LOOP_MERGE} "  # noqa: S608
        f"from {_FINAL_LOOP} and {parts} group by {key} {LOOP_HOUR.kept}",
        bound,
    )
    rows = _delete(tx, "loop_delta", parts, bound)
    append(tx, "fold_loop", LOOP_HOUR)
    tx.execute("drop table fold_loop")
    return rows


def _delete(tx: Transaction, table: str, where: str, bound: dict[str, object]) -> int:
    gone = tx.execute(
        f"delete from {table} using partition_state where {table}.source_partition = partition_state.source_partition "  # noqa: S608
        f"and {table}.from_offset < partition_state.folded_to and {where}",
        bound,
    ).fetchone()
    return int(gone[0]) if gone else 0
