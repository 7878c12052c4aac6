"""What the benchmarks of scale reckon with, and the messages that they make."""

from __future__ import annotations

import json

import pytest

from benchmarks.curves import CURVES, packed, padded
from benchmarks.memory import hour
from benchmarks.overload import STAGES, Watched
from benchmarks.scale import longest


def test_a_wait_belongs_to_the_change_that_it_was_near() -> None:
    told = [("", "nothing", 100.0), ("worker", "joins", 115.0), ("worker", "is killed", 130.0)]
    sent_s = {"calm": 101.0, "on its way": 113.0, "after": 116.0, "killed": 131.0}
    waited = {"calm": 1.0, "on its way": 4.0, "after": 2.0, "killed": 9.0}
    assert longest(sent_s, waited, told, 150.0) == [
        {"stage": "", "what": "nothing", "longest_s": [1.0]},
        {"stage": "worker", "what": "joins", "longest_s": [4.0]},
        {"stage": "worker", "what": "is killed", "longest_s": [9.0]},
    ]


def test_growth_is_told_a_minute() -> None:
    watched = Watched(at_s=[float(second) for second in range(120)])
    watched.memory_mb = {stage: [100 + 0.5 * second for second in range(120)] for stage in STAGES}
    part = watched.between(30.0, 90.0)
    assert (part.start, part.stop) == (30, 90)
    assert watched.slope_mb("serve", part) == pytest.approx(30.0)


@pytest.mark.parametrize("size", [1_000, 4_000])
def test_a_longer_message_is_an_event_of_that_size(size: int) -> None:
    [message, *_] = next(padded(size).make(1_000))
    assert abs(len(message) - size) < 20
    assert {"event_id", "account_id", "trace"} <= json.loads(message).keys()


def test_packed_messages_have_each_event_once() -> None:
    plain = [json.loads(value)["event_id"] for chunk in CURVES["packed"][0].make(1_000) for value in chunk]
    lines = [value for chunk in packed(10, "lines").make(1_000) for value in chunk]
    array = [value for chunk in packed(100, "array").make(1_000) for value in chunk]
    assert (len(plain), len(lines), len(array)) == (1_000, 100, 10)
    assert [json.loads(line)["event_id"] for value in lines for line in value.splitlines()] == plain
    assert [one["event_id"] for value in array for one in json.loads(value)] == plain


def test_every_account_sends_within_the_hour() -> None:
    accounts = {json.loads(value)["account_id"] for chunk in hour(300, 100) for value in chunk}
    assert len(accounts) == 100
