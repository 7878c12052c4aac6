from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fingerprint.dedup import Deduplicator
from tests.fingerprint.sample import START, START_US, events

WINDOW = timedelta(seconds=100)
SEEN = st.lists(st.tuples(st.integers(0, 6), st.integers(-250, 250)), max_size=60)


def frame_of(rows: list[tuple[int, int]]) -> pl.DataFrame:
    return events(
        {
            "event_id": pl.Series([f"e{number}" for number, _ in rows], dtype=pl.String),
            "account_id": pl.Series(["a"] * len(rows), dtype=pl.String),
            "timestamp": pl.Series([START_US + at * 1_000_000 for _, at in rows], dtype=pl.Int64).cast(
                pl.Datetime("us", "UTC")
            ),
        }
    )


def naive(rows: list[tuple[int, int]]) -> list[bool]:
    return [
        any(other == number and abs(then - at) <= WINDOW.total_seconds() for other, then in rows[:index])
        for index, (number, at) in enumerate(rows)
    ]


@settings(max_examples=300, deadline=None)
@given(rows=SEEN, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_the_answer_is_the_naive_one_however_events_are_batched(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    dedup = Deduplicator(WINDOW, 1_000)
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    found = [flag for start, stop in pairwise(bounds) for flag in dedup.duplicates(frame_of(rows[start:stop])).tolist()]
    assert found == naive(rows)


@settings(max_examples=100, deadline=None)
@given(rows=SEEN, cut=st.integers(0, 60))
def test_a_warmed_one_answers_as_one_that_never_stopped(rows: list[tuple[int, int]], cut: int) -> None:
    dedup = Deduplicator(WINDOW, 1_000)
    dedup.warm(frame_of(rows[:cut][::-1]))
    assert dedup.duplicates(frame_of(rows[cut:])).tolist() == naive(rows)[cut:]


def test_the_same_id_of_another_account_is_no_duplicate() -> None:
    frame = events({"event_id": ["e", "e"], "account_id": ["a", "b"], "timestamp": [START, START]})
    assert Deduplicator(WINDOW, 10).duplicates(frame).tolist() == [False, False]


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    dedup = Deduplicator(timedelta(hours=1), 1_000)
    for batch in range(20):
        rows = [(batch * 250 + row, batch * 250 + row) for row in range(250)]
        assert not dedup.duplicates(frame_of(rows)).any()
        assert len(dedup) <= 1_000
    assert dedup.forgotten >= 4_000
    newest = [(number, number) for number in range(4_500, 5_000)]
    assert dedup.duplicates(frame_of(newest)).all()
    assert not dedup.duplicates(frame_of([(3, 3)])).any()


def test_one_batch_larger_than_the_memory_is_still_told_exactly() -> None:
    dedup = Deduplicator(WINDOW, 10)
    rows = [(number % 50, 0) for number in range(100)]
    assert dedup.duplicates(frame_of(rows)).tolist() == [False] * 50 + [True] * 50
    assert len(dedup) <= 10


def test_many_batches_keep_few_runs() -> None:
    dedup = Deduplicator(WINDOW, 1_000_000)
    order = np.random.default_rng(5).permutation(5_000).tolist()
    for start in range(0, 5_000, 50):
        dedup.duplicates(frame_of([(number, 0) for number in order[start : start + 50]]))
    assert len(dedup) == 5_000
    assert all(len(runs) <= 12 for runs in dedup._generations.values())
