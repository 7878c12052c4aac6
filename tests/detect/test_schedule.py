"""Which windows are looked at: the same at the end, however time came to pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import RuleSettings
from pipeline.detect.schedule import due_windows, floor_to
from pipeline.rules.load import load_rules
from pipeline.rules.model import RuleMeta, Window

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
META = (
    load_rules(RuleSettings())
    .rules["closed_loop_pool"]
    .meta.model_copy(update={"window": 2 * HOUR, "hop": HOUR, "every": 5 * MINUTE})
)


def due(
    done: datetime | None, watermark: datetime, changed: datetime | None = None, hours: int = 3, meta: RuleMeta = META
) -> list[Window]:
    active = [START + number * HOUR for number in range(hours)]
    return due_windows(meta, done=done, watermark=watermark, changed=changed, active_hours=active)


def test_a_first_look_sees_all_windows_with_events_and_the_one_that_still_fills() -> None:
    assert due(None, START + 80 * MINUTE) == [
        Window(START - HOUR, START + HOUR, START + HOUR),
        Window(START, START + 80 * MINUTE, START + 2 * HOUR),
    ]


def test_nothing_is_due_before_the_next_turn() -> None:
    assert due(START + 80 * MINUTE, START + 84 * MINUTE) == []
    assert [window.until for window in due(START + 80 * MINUTE, START + 85 * MINUTE)] == [START + 85 * MINUTE]


def test_a_window_is_looked_at_once_more_when_it_has_closed() -> None:
    windows = due(START + 55 * MINUTE, START + 65 * MINUTE)
    assert [(window.until, window.end) for window in windows] == [
        (START + HOUR, START + HOUR),
        (START + 65 * MINUTE, START + 2 * HOUR),
    ]


def test_late_data_reopens_the_windows_that_reach_it() -> None:
    now = START + 150 * MINUTE
    assert due(now, now) == []
    assert [window.end for window in due(now, now, changed=START + 30 * MINUTE)] == [
        START + HOUR,
        START + 2 * HOUR,
        START + 3 * HOUR,
    ]


def test_a_long_silence_costs_nothing() -> None:
    hours = [START, START + timedelta(days=4000)]
    windows = due_windows(META, done=None, watermark=START + timedelta(days=9000), changed=None, active_hours=hours)
    assert [window.end for window in windows] == [
        START + HOUR,
        START + 2 * HOUR,
        START + timedelta(days=4000, hours=1),
        START + timedelta(days=4000, hours=2),
    ]


def test_data_older_than_panes_are_kept_reopens_nothing_before() -> None:
    now = START + timedelta(days=10)
    hours = [START + number * HOUR for number in range(240)]
    windows = due_windows(META, done=now, watermark=now, changed=START, active_hours=hours)
    assert windows[0].end > now - timedelta(hours=37)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=12))
def test_many_small_steps_leave_the_same_windows_as_one_big_one(steps: list[int]) -> None:
    seen: dict[datetime, Window] = {}
    done, now = None, START
    for step in steps:
        now += step * MINUTE
        for window in due(done, now, hours=30):
            seen[window.end] = window
        done = floor_to(now, META.every)
    assert list(seen.values()) == due(None, now, hours=30)
