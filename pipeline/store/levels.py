"""The folded tables: their windows, how their rows merge, and the account of how many rows each window has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.store.columns import (
    DISTRIBUTION_KEY,
    DISTRIBUTION_MERGE,
    LINK_KEY,
    LINK_MERGE,
    LOOP_KEPT,
    LOOP_KEY,
    LOOP_MERGE,
    PANE_KEY,
    PANE_MERGE,
    SEEN_MERGE,
)
from pipeline.store.transaction import Transaction

PARTS: Final = 8  # of a kind's entities, by hash: what is merged or moved in one transaction
WHOLE: Final = ""  # the bucket of windows that are never merged
ORIGIN: Final = "timestamptz '1970-01-01 00:00:00+00'"


@dataclass(frozen=True, slots=True)
class Level:
    """A folded table: a row, or a few that add up, for each key."""

    table: str
    window: str | None  # the column of the window; None: one window for all time
    kinds: tuple[str, ...]  # the columns that say what kind of row it is
    entity: str
    key: tuple[str, ...]
    merge: str
    length_s: int = 0
    merged: bool = True  # rows of one key are merged from time to time
    kept: str = ""  # SQL behind the grouping: which of the merged rows stay
    order: str = ""  # SQL: the columns that rows written together are in order of
    ordered_first: bool = True  # so are those that folding appends, not only those that were merged

    @property
    def part(self) -> str:
        """SQL: which part of its kind a row is in."""
        return f"hash({self.entity}) % {PARTS}"

    @property
    def bucket(self) -> str:
        """SQL: the bucket of a row."""
        kinds = " || '>' || ".join(self.kinds) or "''"
        return f"{kinds} || '/' || ({self.part})" if self.merged else f"'{WHOLE}'"


_KIND: Final = ("kind",)
_LINK: Final = ("source_kind", "target_kind")

# Rows of as many requests stand beside each other, and of those the ones that the same requests made: in the file they
# take less room than in the order that a grouping leaves (docs/decisions/0025-counts-above-codes.md). There are so many
# links that sorting them each time makes folding a tenth dearer; they are sorted when they are merged.
_ALIKE: Final = "events, first_seen, last_seen"

PANE: Final = Level(
    "pane", "window_start", _KIND, "entity_id", PANE_KEY, PANE_MERGE, 60, merged=False, order=f"window_start, {_ALIKE}"
)
HOUR: Final = Level(
    "hour", "window_start", _KIND, "entity_id", PANE_KEY, PANE_MERGE, 3600, order=f"window_start, {_ALIKE}"
)
DAY: Final = Level(
    "day", "window_start", _KIND, "entity_id", PANE_KEY, PANE_MERGE, 86_400, order=f"window_start, {_ALIKE}"
)
LINK_HOUR: Final = Level(
    "link_hour",
    "hour",
    _LINK,
    "source_id",
    ("hour", *LINK_KEY),
    LINK_MERGE,
    3600,
    order=f"hour, {_ALIKE}",
    ordered_first=False,
)
LINK_DAY: Final = Level(
    "link_day",
    "day",
    _LINK,
    "source_id",
    ("day", *LINK_KEY),
    LINK_MERGE,
    86_400,
    order=f"day, {_ALIKE}",
    ordered_first=False,
)
DISTRIBUTION_HOUR: Final = Level(
    "distribution_hour", "hour", (), "account_id", DISTRIBUTION_KEY, DISTRIBUTION_MERGE, 3600, order="hour, events"
)
LOOP_HOUR: Final = Level("loop_hour", "hour", (), "account_id", LOOP_KEY, LOOP_MERGE, 3600, kept=LOOP_KEPT)
SEEN: Final = Level("account_seen", None, (), "account_id", ("account_id",), SEEN_MERGE)
LEVELS: Final[Mapping[str, Level]] = {
    level.table: level for level in (PANE, HOUR, DAY, LINK_HOUR, LINK_DAY, DISTRIBUTION_HOUR, LOOP_HOUR, SEEN)
}

_ROWS: Final = pl.Schema(
    {
        "level": pl.String(),
        "window_start": UTC_MICROSECONDS,
        "bucket": pl.String(),
        "base": pl.Int64(),
        "added": pl.Int64(),
        "written_at": UTC_MICROSECONDS,
    }
)


def write(tx: Transaction, source: str, level: Level, *, ordered: bool = True) -> None:
    """Insert a table's rows into a level, in its order."""
    order = f"order by {level.order}" if level.order and ordered else ""
    tx.execute(f"insert into {level.table} by name select * from {source} {order}")  # noqa: S608 - names of our own


def append(tx: Transaction, source: str, level: Level) -> None:
    """Append a table's rows, one a key, to a level, and account for them: a window's first rows are its base."""
    write(tx, source, level, ordered=level.ordered_first)
    counts = tx.frame(
        f"select '{level.table}' as level, {level.window or ORIGIN} as window_start, {level.bucket} as bucket, "  # noqa: S608
        f"count(*) as rows from {source} group by all"
    )
    if counts.height == 0:
        return
    counts = counts.cast({"window_start": UTC_MICROSECONDS})
    key = ["level", "window_start", "bucket"]
    which = {"level": level.table, "starts": counts["window_start"].unique().to_list()}
    where = "level = $level and window_start in (select unnest($starts::timestamptz[]))"
    known = tx.frame(f"select * from window_rows where {where}", which).cast(_ROWS)  # noqa: S608 - a literal
    tx.execute(f"delete from window_rows where {where}", which)  # noqa: S608
    fresh = counts.join(known, on=key, how="left").select(
        *key,
        pl.coalesce("base", "rows").alias("base"),
        pl.when(pl.col("base").is_null()).then(0).otherwise(pl.col("added") + pl.col("rows")).alias("added"),
        pl.lit(tx.now).dt.cast_time_unit("us").alias("written_at"),
    )
    kept = known.join(counts, on=key, how="anti")
    tx.insert("window_rows", pl.concat([fresh.cast(_ROWS), kept.select(_ROWS.names())]))
