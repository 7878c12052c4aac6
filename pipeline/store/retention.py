"""Deletes windows whose time is up: panes, hours and days; with the hours dead letters, and what messages said about
alerts that have long been over. Never findings, alerts, or that something was told.

By the wall clock, not by the watermark: what must be gone after 48 hours must be gone when the traffic has stopped,
too. The time counts from the end of the window or from when it was last written, whichever is later: a replay of last
month's traffic is there to be looked at for as long as today's. Accounts stay, with their totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.config import StoreSettings
from pipeline.store.levels import DAY, DISTRIBUTION_HOUR, HOUR, LINK_DAY, LINK_HOUR, LOOP_HOUR, PANE, Level
from pipeline.store.transaction import Transaction

WINDOWS_A_TURN: Final = 120

# A message that was given up may be sent again, and an alert that lasts is reminded of in the words of its last one.
_SAID: Final = """
update outbox
set body = ''
where
    body <> ''
    and created_at < $before
    and state in ('delivered', 'grouped', 'skipped')
    and alert_id not in (select alert_id from alert where resolved_at is null or resolved_at >= $before)
"""


@dataclass(frozen=True, slots=True)
class Expired:
    """Rows that went. ``more``: there are more windows to delete; call again."""

    rows: int = 0
    more: bool = False


def kept_for(settings: StoreSettings) -> Mapping[Level, timedelta]:
    """How long each level's windows are kept."""
    hours = timedelta(days=settings.retention_hours_d)
    days = timedelta(days=settings.retention_days_d)
    return {
        PANE: timedelta(hours=settings.retention_panes_h),
        LOOP_HOUR: timedelta(hours=settings.retention_loops_h),
        HOUR: hours,
        LINK_HOUR: hours,
        DISTRIBUTION_HOUR: hours,
        DAY: days,
        LINK_DAY: days,
    }


def expire(tx: Transaction, settings: StoreSettings, *, windows: int = WINDOWS_A_TURN) -> Expired:
    """Delete up to ``windows`` windows of each level whose time is up."""
    hours = {"before": tx.now - kept_for(settings)[HOUR]}
    rows = _count(tx.execute("delete from dead_letter where seen_at < $before", hours))
    rows += _count(tx.execute(_SAID, hours))
    more = False
    for level, kept in kept_for(settings).items():
        before = tx.now - kept
        due = tx.execute(
            """
            select window_start
            from window_rows
            where level = $level
            group by window_start
            having max(written_at) < $before and window_start < $ended
            order by window_start
            limit $windows
            """,
            {
                "level": level.table,
                "before": before,
                "ended": before - timedelta(seconds=level.length_s),
                "windows": windows,
            },
        ).fetchall()
        if not due:
            continue
        starts = {"starts": [row[0] for row in due]}
        rows += _count(
            tx.execute(
                f"delete from {level.table} where {level.window} in (select unnest($starts::timestamptz[]))",  # noqa: S608
                starts,
            )
        )
        tx.execute(
            "delete from window_rows where level = $level and window_start in (select unnest($starts::timestamptz[]))",
            {"level": level.table, **starts},
        )
        _note(tx, level, max(starts["starts"]))
        more = more or len(due) == windows
    return Expired(rows, more)


def _note(tx: Transaction, level: Level, newest: datetime) -> None:
    """Up to where a level was deleted: ``verify`` compares only what is newer."""
    key = f"expired {level.table}"
    told = tx.execute("select value from meta where key = $key", {"key": key}).fetchone()
    tx.execute("delete from meta where key = $key", {"key": key})
    value = max(newest.isoformat(), told[0] if told else "")
    tx.execute("insert into meta values ($key, $value)", {"key": key, "value": value})


def _count(done: object) -> int:
    row = done.fetchone()  # type: ignore[attr-defined]
    return int(row[0]) if row else 0
