"""Of many passages the smallest of an hour stay, with whole numbers, wherever and in what order they were merged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
from polars.testing import assert_frame_equal

from pipeline.fingerprint.loops import loops, merge_loops
from pipeline.fingerprint.schema import LOOPS, PASSAGES_KEPT
from pipeline.store import apply_deltas, fold
from pipeline.store.compact import compact
from tests.fingerprint.sample import START, events
from tests.store.made import delta, memory_store, rows


def busy(count: int = 400) -> pl.DataFrame:
    """One account with far more passages an hour than are kept, each twice, and another with few."""
    number = pl.int_range(count, eager=True)
    first = (number * 7919 % 200).cast(pl.UInt64)
    return events(
        {
            "event_id": number.cast(pl.String),
            "timestamp": pl.select(pl.lit(START) + (number * 13_000_000).cast(pl.Duration("us"))).to_series(),
            "account_id": pl.select(
                pl.when(number % 50 == 0).then(pl.lit("few")).otherwise(pl.lit("many"))
            ).to_series(),
            "loop_out": pl.select(pl.concat_list(first, first + 1000)).to_series(),
            "loop_in": pl.select(pl.concat_list(first)).to_series(),
        }
    )


def test_parts_in_any_order_give_the_smallest_of_the_whole() -> None:
    frame = busy()
    told = loops(frame)
    most = told.group_by("account_id", "hour", "output").len()
    assert most["len"].max() == PASSAGES_KEPT
    parts = [loops(frame[start : start + 37]) for start in range(0, len(frame), 37)]
    assert_frame_equal(merge_loops(*parts[::-1]), told)
    assert_frame_equal(merge_loops(merge_loops(*parts[::2]), merge_loops(*parts[1::2])), told)
    counted = frame.explode("loop_in").filter(
        pl.col("account_id") == "many", pl.col("timestamp") < START.replace(hour=13)
    )
    smallest = counted.group_by("loop_in").agg(pl.len(), pl.col("timestamp").min()).sort("loop_in").head(PASSAGES_KEPT)
    kept = told.filter(pl.col("account_id") == "many", ~pl.col("output"), pl.col("hour") == START)
    assert kept.select("passage", pl.col("events").cast(pl.UInt32), "first_seen").rows() == smallest.rows()


def test_what_is_stored_is_bounded_and_the_same_as_at_once() -> None:
    frame = busy()
    with memory_store() as store:
        for number, start in enumerate(range(0, len(frame), 20)):
            part = loops(frame[start : start + 20])
            one = replace(delta(number, number + 1, committed=number + 1, watermark_s=0.0), loops=part)
            with store.transaction() as tx:
                apply_deltas(tx, [one])
            if number % 3 == 0:
                with store.transaction() as tx:
                    fold(tx, watermark=START + timedelta(hours=3))
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(hours=3))
        while True:
            with store.transaction() as tx:
                if compact(tx, START + timedelta(hours=5), min_added=1) is None:
                    break
        assert rows(store, "select * from loop_hour order by all") == loops(frame).rows()


def test_without_text_there_is_nothing() -> None:
    frame = busy().with_columns(pl.lit(None, pl.List(pl.UInt64)).alias(name) for name in ("loop_out", "loop_in"))
    assert loops(frame).equals(LOOPS.to_frame())
    assert loops(frame.with_columns(loop_out=pl.lit([], pl.List(pl.UInt64)))).is_empty()
