"""What is drawn and shown, without a store."""

from __future__ import annotations

from datetime import timedelta

from pipeline.explain.model import Bar, Timeline
from pipeline.explain.picture import draw_bars
from pipeline.explain.render import visible
from tests.explain.conftest import START


def test_time_that_is_not_counted_yet_is_not_drawn_as_silence() -> None:
    bars = [Bar(START + timedelta(minutes=n), 1 + n, 0, 0, 1) for n in (0, 2)]
    timeline = Timeline("minute", START, START + timedelta(hours=1), bars)
    half = draw_bars(timeline, START + timedelta(minutes=4))
    assert half is not None
    assert [bar.x for bar in half.bars] == [0, 430]
    assert [bar.height for bar in half.bars] == [40, 120]
    assert half.ticks[-1] == (860.0, "2026-01-05 12:04")
    ahead = draw_bars(timeline, START)  # minutes behind the watermark may still grow, and are shown
    assert ahead is not None
    assert ahead.ticks[-1] == (860.0, "2026-01-05 12:03")
    assert draw_bars(Timeline("hour", START, START, []), None) is None


def test_what_cannot_be_seen_is_shown_as_its_code() -> None:
    assert visible("a\nb\x1b[0m\u202ec é 漢") == "a\\u{a}b\\u{1b}[0m\\u{202e}c é 漢"
