"""Windows close when they may, and not before."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.store import PartitionWord, Progress, progress
from tests.store.made import START


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def word(partition: int, mark_s: float | None, *, idle: bool = False) -> PartitionWord:
    return PartitionWord(partition, None if mark_s is None else at(mark_s), idle, START)


def judge(
    *words: PartitionWord,
    partitions: int = 2,
    heard_s: dict[int, float] | None = None,
    now_s: float = 0,
    previous: datetime | None = None,
) -> Progress:
    return progress(
        words,
        partitions=partitions,
        lateness_s=10,
        heard_s=heard_s if heard_s is not None else dict.fromkeys(range(partitions), 0.0),
        now_s=now_s,
        stall_after_s=30,
        previous=previous,
    )


def test_it_is_the_minimum() -> None:
    assert judge(word(0, 100), word(1, 70)).watermark == at(70)


def test_nothing_until_every_partition_has_spoken() -> None:
    assert judge(word(0, 100)).watermark is None
    assert judge(word(0, 100), word(1, None)).watermark is None


def test_an_idle_partition_leaves_the_minimum() -> None:
    assert judge(word(0, 100), word(1, 5, idle=True)).watermark == at(100)
    assert judge(word(0, 100), word(1, None, idle=True)).watermark == at(100)


def test_when_all_are_idle_all_that_was_seen_is_closed() -> None:
    # The newest event was at 95 s + 10 s of lateness = 105 s, in the pane that ends at 120 s.
    assert judge(word(0, 95, idle=True), word(1, 5, idle=True)).watermark == at(120)
    # An event on the edge is in the pane that begins there.
    assert judge(word(0, 110, idle=True), word(1, 5, idle=True)).watermark == at(180)
    assert judge(word(0, None, idle=True), word(1, None, idle=True)).watermark is None


def test_it_never_goes_back() -> None:
    assert judge(word(0, 95), word(1, 5), previous=at(120)).watermark == at(120)
    assert judge(word(0, 95), previous=at(50)).watermark == at(50)


def test_a_stalled_partition_holds_it_and_is_named() -> None:
    idle_then_silent = judge(
        word(0, 500), word(1, 70, idle=True), heard_s={0: 95.0, 1: 60.0}, now_s=100, previous=at(300)
    )
    assert idle_then_silent == Progress(at(300), (1,))
    never_heard = judge(word(0, 500), heard_s={0: 95.0, 1: 0.0}, now_s=100)
    assert never_heard == Progress(None, (1,))
    assert judge(word(0, 500), word(1, 70), heard_s={0: 95.0, 1: 71.0}, now_s=100).stalled == ()
