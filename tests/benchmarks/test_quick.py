"""What guards against a stage that has become much dearer compares ratios within one run."""

from __future__ import annotations

from benchmarks.quick import LIMIT, ratios, regressions
from benchmarks.results import recorded


def test_a_stage_is_held_against_the_floor_of_its_own_turn() -> None:
    slow = {"floor": 4.0, "decode": 8.0, "store": 2.0}  # twice as slow a machine, the same ratios
    fast = {"floor": 2.0, "decode": 4.0, "store": 1.0}
    hit = {"floor": 2.0, "decode": 40.0, "store": 1.0}  # by somebody else's load
    assert ratios([slow, fast, hit]) == {"decode": 2.0, "store": 0.5}


def test_only_what_became_much_dearer_is_told() -> None:
    expected = {"decode": 2.0, "store": 0.5}
    assert regressions({"decode": LIMIT * 2.0, "store": 0.1}, expected) == []
    assert regressions({"decode": LIMIT * 2.0 + 0.01, "store": LIMIT * 0.5 + 0.01}, expected) == ["decode", "store"]
    assert regressions({"decode": 1.0, "made anew": 0.1}, expected) == ["made anew"]


def test_what_is_recorded_can_be_read() -> None:
    expected = recorded("quick")["ratios"]
    assert expected
    assert all(ratio > 0 for ratio in expected.values())
