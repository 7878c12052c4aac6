"""Merges rows of one key that folding added one after another, a bucket of one window at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pipeline.store.levels import LEVELS, write
from pipeline.store.transaction import Transaction

MIN_ADDED: Final = 5_000  # fewer rows are not worth a rewrite while their window still fills
GROWTH: Final = 3  # rows added for each merged one
_CLOSED_FOR: Final = timedelta(hours=1)  # late events are few after that


def compact(tx: Transaction, watermark: datetime | None, *, min_added: int = MIN_ADDED) -> int | None:
    """Merge the bucket that gains most, if one is due; return how many rows went away. None: none is due.

    Due is one that grew to several times its size since it was merged, so that the work for each row is the same
    however often is folded; and one whose window is over, once.
    """
    closed = None if watermark is None else watermark - _CLOSED_FOR
    row = tx.execute(
        """
        select level, window_start, bucket, base + added
        from window_rows
        where
            level <> 'pane'
            and added > 0
            and (
                added >= greatest($growth * base, $min_added)
                or window_start + case level
                    when 'hour' then interval '1 hour'
                    when 'link_hour' then interval '1 hour'
                    when 'distribution_hour' then interval '1 hour'
                    when 'loop_hour' then interval '1 hour'
                    when 'day' then interval '1 day'
                    when 'link_day' then interval '1 day'
                    else interval '1000 years' -- the one window for all time never ends
                end <= $closed::timestamptz
            )
        order by added desc, level, window_start, bucket
        limit 1
        """,
        {"growth": GROWTH, "min_added": min_added, "closed": closed},
    ).fetchone()
    return None if row is None else _merge(tx, *row)


def _merge(tx: Transaction, level_name: str, window_start: datetime, bucket: str, before: int) -> int:
    level = LEVELS[level_name]
    kinds, _, part = bucket.rpartition("/")
    bound: dict[str, object] = {"part": int(part), **dict(zip(level.kinds, kinds.split(">"), strict=bool(level.kinds)))}
    where = " and ".join((*(f"{name} = ${name}" for name in level.kinds), f"{level.part} = $part"))
    if level.window is not None:
        where += f" and {level.window} = $window_start"
        bound["window_start"] = window_start
    key = ", ".join(level.key)
    tx.execute(
        f"create or replace temp table compacted as select {key}, {level.merge} "  # noqa: S608 - names of our own
        f"from {level.table} where {where} group by {key} {level.kept}",
        bound,
    )
    tx.execute(f"delete from {level.table} where {where}", bound)  # noqa: S608
    write(tx, "compacted", level)
    [after] = tx.execute("select count(*) from compacted").fetchone() or (0,)
    tx.execute("drop table compacted")
    tx.execute(
        "update window_rows set base = $after, added = 0 "
        "where level = $level and window_start = $window and bucket = $bucket",
        {"after": after, "level": level_name, "window": window_start, "bucket": bucket},
    )
    return int(before - after)
