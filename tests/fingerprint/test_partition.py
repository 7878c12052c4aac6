from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.clock import ManualClock
from pipeline.config import WorkerSettings
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions, merge_distributions
from pipeline.fingerprint.loops import loops, merge_loops
from pipeline.fingerprint.merge import merge_links, merge_panes
from pipeline.fingerprint.partition import HEARTBEAT_S, PartitionState
from pipeline.fingerprint.watermark import Watermark
from tests.fingerprint.sample import START, events, sample

SETTINGS = WorkerSettings(lateness_s=10, idle_after_s=2, emit_events=50)


def at(*seconds: float) -> pl.DataFrame:
    return events(
        {
            "event_id": [f"e{second}" for second in seconds],
            "account_id": ["a"] * len(seconds),
            "timestamp": [START + timedelta(seconds=second) for second in seconds],
        }
    )


def state(clock: ManualClock | None = None, *, from_offset: int = 0) -> PartitionState:
    return PartitionState(3, from_offset, SETTINGS, clock or ManualClock())


def test_deltas_are_contiguous_and_cover_every_offset() -> None:
    partition = state(from_offset=7)
    partition.add(7, at(1, 2))
    partition.add(9, at(3))  # offset 8 was a transaction marker
    first = partition.emit(generation=4, committed=7)
    assert first is not None
    assert (first.from_offset, first.to_offset, first.events, first.generation, first.committed) == (7, 10, 3, 4, 7)
    partition.skip(12)  # damaged
    second = partition.emit(generation=4, committed=10)
    assert second is not None
    assert (second.from_offset, second.to_offset, second.events) == (10, 13, 0)
    with pytest.raises(ValueError, match="offset 12 after 12"):
        partition.add(12, at(4))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 90), max_size=6), data=st.data())
def test_deltas_add_up_to_the_whole_however_they_are_cut(seed: int, cuts: list[int], data: st.DataObject) -> None:
    frame = sample(90, seed=seed)
    frame = pl.concat([frame, frame[:20]])  # retries
    partition = state()
    bounds = sorted({0, frame.height, *cuts})
    deltas = []
    for offset, (start, stop) in enumerate(pairwise(bounds)):
        partition.add(offset, frame[start:stop])
        if data.draw(st.booleans()):
            deltas.append(partition.emit(generation=1, committed=0))
    deltas.append(partition.emit(generation=1, committed=0))
    kept = [delta for delta in deltas if delta is not None]
    panes, links = aggregate(frame[:90])
    assert_frame_equal(merge_panes(*(delta.panes for delta in kept)), panes)
    assert_frame_equal(merge_links(*(delta.links for delta in kept)), links)
    sums = merge_distributions(*(delta.distributions for delta in kept))
    assert_frame_equal(sums, distributions(frame[:90]))
    assert_frame_equal(merge_loops(*(delta.loops for delta in kept)), loops(frame[:90]))
    assert sum(delta.events for delta in kept) == 90
    assert sum(delta.duplicates for delta in kept) == 20
    whole = Watermark(10)
    assert sum(delta.late for delta in kept) == whole.advance(frame[:90]["timestamp"])
    assert kept[-1].watermark == whole.value
    assert [delta.from_offset for delta in kept[1:]] == [delta.to_offset for delta in kept[:-1]]


def test_the_watermark_never_goes_back_and_tells_late_events() -> None:
    mark = Watermark(10)
    assert mark.value is None
    assert mark.advance(at(30, 65)["timestamp"]) == 0
    assert mark.value == START + timedelta(seconds=55)
    assert mark.advance(at(5)["timestamp"]) == 0  # its pane ends at 60, the watermark is 55
    assert mark.advance(at(70, 59.999)["timestamp"]) == 1  # 70 moves it to 60: the pane is over
    assert mark.value == START + timedelta(seconds=60)


def test_a_quiet_partition_says_once_that_it_is_idle_then_beats() -> None:
    clock = ManualClock()
    partition = state(clock)
    partition.add(0, at(1))
    assert partition.emit(generation=1, committed=0) is not None
    clock.advance(1)
    assert partition.emit(generation=1, committed=1) is None
    clock.advance(1.5)
    assert partition.emit(generation=1, committed=1, at_end=False) is None
    idle = partition.emit(generation=1, committed=1)
    assert idle is not None
    assert (idle.idle, idle.from_offset, idle.to_offset, idle.watermark) == (True, 1, 1, START - timedelta(seconds=9))
    assert partition.emit(generation=1, committed=1) is None
    clock.advance(HEARTBEAT_S)
    beat = partition.emit(generation=1, committed=1)
    assert beat is not None
    assert beat.idle
    partition.add(1, at(2))
    awake = partition.emit(generation=1, committed=1)
    assert awake is not None
    assert not awake.idle


def test_a_partition_never_seen_says_so_at_once() -> None:
    first = state().emit(generation=1, committed=0)
    assert first is not None
    assert (first.events, first.watermark, first.idle) == (0, None, False)


def test_a_step_of_the_wall_clock_makes_nothing_idle() -> None:
    clock = ManualClock()
    partition = state(clock)
    partition.add(0, at(1))
    partition.emit(generation=1, committed=0)
    clock.step_wall(86_400)
    assert partition.emit(generation=1, committed=1) is None


def test_it_is_full_when_an_emission_is_due() -> None:
    partition = state()
    seen = []
    for offset, rows in enumerate((49, 1)):
        partition.add(offset, sample(rows, seed=offset))
        seen.append((partition.full, partition.pending_events))
    partition.emit(generation=1, committed=0)
    seen.append((partition.full, partition.pending_events))
    assert seen == [(False, 49), (True, 50), (False, 0)]


def test_after_a_restart_duplicates_and_the_watermark_are_as_before() -> None:
    before, after = state(), state(from_offset=1)
    before.add(0, at(1, 100))
    after.warm(at(1, 100).select("event_id", "account_id", "timestamp"))
    for partition in (before, after):
        partition.emit(generation=1, committed=0)
        partition.add(1, at(1, 20, 130))
    told = [partition.emit(generation=1, committed=1) for partition in (before, after)]
    first, second = told
    assert first is not None
    assert second is not None
    assert (first.events, first.duplicates, first.late) == (2, 1, 1)
    assert (second.events, second.duplicates, second.late) == (2, 1, 1)
    expected: datetime = START + timedelta(seconds=120)
    assert first.watermark == second.watermark == expected


def test_what_is_remembered_goes_up_to_the_last_emission() -> None:
    before = state()
    before.add(0, at(1, 100))
    before.emit(generation=1, committed=0)
    before.add(1, at(2))  # not emitted: whoever goes on reads it again
    assert before.memory.offset == 1
    after = PartitionState(3, 1, SETTINGS, ManualClock(), before.memory)
    after.add(1, at(2, 1))
    told = after.emit(generation=2, committed=1)
    assert told is not None
    assert (told.from_offset, told.events, told.duplicates) == (1, 1, 1)
    assert told.watermark == START + timedelta(seconds=90)
    assert after.memory.offset == 2
    assert before.memory.offset == 1
