"""Which windows of a rule are to be looked at; a function of event time only, so that batching does not matter.

Windows end at multiples of the rule's ``hop`` and reach ``window`` back. The last one is looked at while it still
fills, each ``every`` of event time, and stands under its final end: looking again replaces what was found before.
So the same windows stand at the end, whether they were looked at a thousand times on the way or once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.detect.state import RuleState
from pipeline.rules.model import Rule, RuleMeta, Window

# Late data older than this changes counts and no rule looks again: panes are kept no longer than two days.
REOPEN: Final = timedelta(hours=36)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def in_turn(rules: Iterable[Rule], states: Mapping[str, RuleState]) -> list[Rule]:
    """Whoever has waited longest first."""
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(rules, key=lambda one: (states.get(one.rule_id, RuleState()).evaluated_until or never, one.rule_id))


def floor_to(when: datetime, step: timedelta) -> datetime:
    """The multiple of ``step`` since 1970 at or before ``when``."""
    return when - (when - _EPOCH) % step


def due_windows(
    meta: RuleMeta,
    *,
    done: datetime | None,
    watermark: datetime,
    changed: datetime | None,
    active_hours: Sequence[datetime],
) -> list[Window]:
    """Windows to look at, oldest first; empty when nothing is new.

    Args:
        meta: the rule's window, hop and every.
        done: up to where the rule has looked; None: never.
        watermark: event time up to which all panes are complete.
        changed: start of the oldest pane behind ``done`` that changed since; None: none did.
        active_hours: hours of event time that have any events, ascending: windows without are passed over.
    """
    until = floor_to(watermark, meta.every)
    if not active_hours or (done is not None and done >= until and changed is None):
        return []
    start = floor_to(active_hours[0] if done is None else done, meta.hop)
    if changed is not None and done is not None:
        start = min(start, floor_to(max(changed, done - REOPEN), meta.hop))
    windows = []
    end = start + meta.hop
    while end - meta.hop < until:
        since = end - meta.window
        nearest = _next_active(active_hours, since - timedelta(hours=1))
        if nearest is None:
            break
        if nearest >= end:
            # Nothing before `nearest`: go on with the first window that reaches it.
            end = floor_to(nearest, meta.hop) + meta.hop
            continue
        windows.append(Window(since, min(end, until), end))
        end += meta.hop
    return windows


def live_window(meta: RuleMeta, *, newest: datetime) -> Window:
    """The window that fills just now, up to the end of the minute of the newest event."""
    minute = timedelta(minutes=1)
    end = floor_to(newest, meta.hop) + meta.hop
    return Window(end - meta.window, min(end, floor_to(newest, minute) + minute), end)


def _next_active(hours: Sequence[datetime], after: datetime) -> datetime | None:
    """The first hour of ``hours`` later than ``after``."""
    index = bisect_right(hours, after)
    return hours[index] if index < len(hours) else None


def reach(meta: RuleMeta, done: datetime | None, changed: datetime | None) -> datetime | None:
    """From when on a rule's due windows see events; None: from the first."""
    return None if done is None else min(done, changed or done) - meta.window - meta.hop - timedelta(hours=1)
