"""The folded tables: their windows, how their rows merge, and the account of how many rows each window has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.store.columns import LINK_KEY, LINK_MERGE, PANE_KEY, PANE_MERGE, SEEN_MERGE
from pipeline.store.transaction import Transaction

BUCKETS: Final = 16  # by hash of the entity: what is merged or moved in one transaction
WHOLE: Final = -1  # the bucket of windows that are never merged


@dataclass(frozen=True, slots=True)
class Level:
    """A folded table: a row, or a few that add up, for each key."""

    table: str
    window: str | None  # the column of the window; None: one window for all time
    entity: str  # the column whose hash makes the bucket
    key: tuple[str, ...]
    merge: str
    length_s: int = 0


PANE: Final = Level("pane", "window_start", "entity_id", PANE_KEY, PANE_MERGE, 60)
HOUR: Final = Level("hour", "window_start", "entity_id", PANE_KEY, PANE_MERGE, 3600)
DAY: Final = Level("day", "window_start", "entity_id", PANE_KEY, PANE_MERGE, 86_400)
LINK_HOUR: Final = Level("link_hour", "hour", "source_id", ("hour", *LINK_KEY), LINK_MERGE, 3600)
LINK_DAY: Final = Level("link_day", "day", "source_id", ("day", *LINK_KEY), LINK_MERGE, 86_400)
SEEN: Final = Level("account_seen", None, "account_id", ("account_id",), SEEN_MERGE)
LEVELS: Final[Mapping[str, Level]] = {level.table: level for level in (PANE, HOUR, DAY, LINK_HOUR, LINK_DAY, SEEN)}

_ROWS: Final = pl.Schema(
    {
        "level": pl.String(),
        "window_start": UTC_MICROSECONDS,
        "bucket": pl.Int32(),
        "base": pl.Int64(),
        "added": pl.Int64(),
        "written_at": UTC_MICROSECONDS,
    }
)


def note_rows(tx: Transaction, counts: pl.DataFrame) -> None:
    """Add ``level``, ``window_start``, ``bucket``, ``rows`` to the account of rows; a window's first are its base."""
    if counts.height == 0:
        return
    key = ["level", "window_start", "bucket"]
    counts = counts.cast({"window_start": UTC_MICROSECONDS, "bucket": pl.Int32, "rows": pl.Int64})
    levels = {"levels": counts["level"].unique().to_list(), "starts": counts["window_start"].unique().to_list()}
    where = "level in (select unnest($levels::varchar[])) and window_start in (select unnest($starts::timestamptz[]))"
    known = tx.frame(f"select * from window_rows where {where}", levels).cast(_ROWS)  # noqa: S608 - literals
    tx.execute(f"delete from window_rows where {where}", levels)  # noqa: S608
    now = pl.lit(tx.now).dt.cast_time_unit("us")
    fresh = counts.join(known, on=key, how="left").select(
        *key,
        pl.coalesce("base", "rows").alias("base"),
        (pl.when(pl.col("base").is_null()).then(0).otherwise(pl.col("added") + pl.col("rows"))).alias("added"),
        now.alias("written_at"),
    )
    kept = known.join(counts, on=key, how="anti")
    tx.insert("window_rows", pl.concat([fresh.cast(_ROWS), kept.select(_ROWS.names())]))
