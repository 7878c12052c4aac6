"""What serve takes at once: what comes together, and of a backlog more than that; never past what it may hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.clock import ManualClock
from pipeline.serve.poll import PARTITION_FETCH_BYTES, Poll

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@dataclass
class Consumer:
    """Has a record of so many bytes every so many seconds."""

    clock: ManualClock
    every_s: float
    size: int = 10
    next_s: float = 0.0
    asked: list[int] = field(default_factory=list)

    def poll(self, timeout_ms: int, max_records: int) -> dict[str, list[Any]]:
        assert max_records > 0
        self.asked.append(timeout_ms)
        until_s = self.clock.monotonic() + timeout_ms / 1000
        if self.next_s > until_s:
            self.clock.advance(timeout_ms / 1000)
            return {}
        self.clock.advance(max(0.0, self.next_s - self.clock.monotonic()))
        self.next_s += self.every_s
        return {"a partition": [SimpleNamespace(value=b"x" * self.size)]}


def taken(poll: Poll) -> tuple[int, float]:
    begun_s = poll.clock.monotonic()
    return len(poll.records(250)), round(poll.clock.monotonic() - begun_s, 3)


def made(every_s: float, *, size: int = 10, most: int = 200, age: timedelta | None = None) -> Poll:
    clock = ManualClock(NOW)
    poll = Poll(Consumer(clock, every_s, size, clock.monotonic()), clock, most)
    if age is not None:
        poll.told([SimpleNamespace(watermark=NOW - age), SimpleNamespace(watermark=None)])  # type: ignore[list-item]
    return poll


@pytest.mark.parametrize("age", [None, timedelta(seconds=12)])
def test_what_is_of_now_is_taken_at_once(age: timedelta | None) -> None:
    assert taken(made(0.1, age=age)) == (1, 0.025)
    assert taken(made(0.02, age=age)) == (2, 0.02)


def test_of_a_backlog_more_is_taken_for_half_a_second() -> None:
    poll = made(0.1, age=timedelta(hours=1))
    count, took_s = taken(poll)
    assert count == 6
    assert took_s == pytest.approx(0.525, abs=0.03)
    poll.told([SimpleNamespace(watermark=NOW)])  # type: ignore[list-item]
    assert taken(poll)[0] == 1


def test_of_a_backlog_no_more_than_may_be_held() -> None:
    assert taken(made(0.001, age=timedelta(hours=1), most=7)) == (7, 0.006)
    size = PARTITION_FETCH_BYTES
    assert taken(made(0.001, age=timedelta(hours=1), size=size)) == (4, 0.003)


def test_nothing_waits_no_longer_than_it_was_told() -> None:
    poll = made(0.1, age=timedelta(hours=1))
    poll.consumer.next_s = float("inf")
    assert taken(poll) == (0, 0.25)
