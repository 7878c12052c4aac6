"""Batches on the internal topic: what no event tells is left out, and nothing depends on that."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.config import WorkerSettings
from pipeline.errors import CorruptBatchError
from pipeline.events.batch import REQUIRED, decode_events, encode_events, stack, told, whole
from pipeline.events.ipc import write_frame
from pipeline.events.schema import EVENTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.schema import Delta
from tests.fingerprint.sample import START, sample

OPTIONAL = [name for name in EVENTS if name not in REQUIRED]


def without(events: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return events.with_columns(pl.lit(None, EVENTS[name]).alias(name) for name in names)


def test_what_no_event_tells_is_left_out_and_read_as_null() -> None:
    events = without(sample(20), ["ip", "fragments", "latency_ms"])
    found = decode_events(encode_events(events))
    assert found.columns == [name for name in EVENTS if name in REQUIRED or told(events, name) is not None]
    assert not {"ip", "fragments", "latency_ms"} & set(found.columns)
    assert whole(found).equals(events)
    assert whole(found).schema == EVENTS


@pytest.mark.parametrize("lacking", [[], ["fragments", "request_kind", "distribution", "loop_out", "loop_in"]])
def test_batches_of_older_versions_are_read(lacking: list[str]) -> None:
    events = sample(20).drop(lacking)  # all columns that there were then, null or not
    assert decode_events(write_frame(events)).equals(events)


@pytest.mark.parametrize(
    "damaged",
    [
        *(sample(3).drop(name) for name in REQUIRED),
        sample(3).with_columns(pl.lit(1).alias("later")),
        sample(3).cast({"status": pl.Int64}),
        sample(3).select(reversed(EVENTS.names())),
    ],
    ids=[*REQUIRED, "a column too many", "another type", "another order"],
)
def test_what_is_damaged_is_refused(damaged: pl.DataFrame) -> None:
    with pytest.raises(CorruptBatchError):
        decode_events(write_frame(damaged))


@given(st.lists(st.sets(st.sampled_from(OPTIONAL)), min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_worker_makes_the_same_of_batches_with_and_without_what_is_null(left_out: list[set[str]], seed: int) -> None:
    events = [without(sample(12, seed=seed + number), sorted(names)) for number, names in enumerate(left_out)]
    full, narrow = pl.concat(events), stack([decode_events(encode_events(one)) for one in events])
    assert whole(narrow).equals(full)
    for mine, other in zip(aggregate(narrow), aggregate(full), strict=True):
        assert mine.equals(other)
    assert distributions(narrow).equals(distributions(full))
    assert loops(narrow).equals(loops(full))

    def emitted(batches: list[pl.DataFrame]) -> Delta:
        state = PartitionState(0, 0, WorkerSettings(), ManualClock(START + timedelta(hours=1)))
        for offset, batch in enumerate(batches):
            state.add(offset, batch)
        delta = state.emit(generation=1, committed=0)
        assert delta is not None
        return delta

    delta, known = emitted([decode_events(encode_events(one)) for one in events]), emitted(events)
    assert delta == known
    assert delta.panes.equals(known.panes)
    assert delta.links.equals(known.links)


def test_nothing_stacked_is_a_frame_of_events() -> None:
    empty = stack([])
    assert empty.is_empty()
    assert whole(empty).schema == EVENTS
