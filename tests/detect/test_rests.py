"""Which rules rest: none at the pace of the clock, all of them while event time runs ahead of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.clock import ManualClock
from pipeline.detect.rests import CATCH_UP_SHARE, CATCH_UP_TIMES, Rests

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("look_s", [0.001, 0.2, 0.9])
def test_at_the_pace_of_the_clock_nobody_hurries(look_s: float) -> None:
    clock = ManualClock()
    rests = Rests(clock, paced=True)
    assert not rests.hurries("a", MINUTE)  # it has never looked
    for _ in range(5):
        rests.looked("a", look_s)
        clock.advance(MINUTE.total_seconds() / CATCH_UP_TIMES)
        assert not rests.hurries("a", MINUTE)


def test_ahead_of_the_clock_all_looks_together_take_their_share_of_the_time() -> None:
    clock = ManualClock()
    rests = Rests(clock, paced=True)
    names, looks, begun_s = [f"rule_{number}" for number in range(8)], 0, clock.monotonic()
    for _ in range(2000):  # each step is a minute of event time or more
        clock.advance(0.05)
        for name in names:
            if not rests.hurries(name, timedelta(minutes=30)):
                clock.advance(0.02)
                rests.looked(name, 0.02)
                looks += 1
    share = looks * 0.02 / (clock.monotonic() - begun_s)
    assert rests.hurried == set(names)  # their turn has come
    assert 0.5 * CATCH_UP_SHARE < share <= 1.1 * CATCH_UP_SHARE


def test_files_of_the_past_are_looked_at_in_every_turn() -> None:
    rests = Rests(ManualClock(), paced=False)
    rests.looked("a", 10.0)
    assert not rests.hurries("a", MINUTE)


def test_a_rule_that_was_changed_is_tried_at_once() -> None:
    rests = Rests(ManualClock(), paced=True)
    rests.looked("a", 0.5)
    assert rests.hurries("a", MINUTE)
    assert rests.pauses("a", every=MINUTE)
    assert not rests.pauses("a")
    rests.changed("a")
    assert not rests.hurries("a", MINUTE)
    assert rests.hurried == set()
