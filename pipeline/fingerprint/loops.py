"""Sampled passages by account and hour: what the model said to whom, and what who sent to the model.

Who said and who heard is for readers to join (``output_loops`` in SQL), so nothing here depends on which came first.
Of each account, hour and side the PASSAGES_KEPT smallest hashes count. What is among the smallest of all is among the
smallest of every part, so its numbers are whole, however the events were split: who merges takes the smallest again.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.batch import told
from pipeline.fingerprint.schema import HOUR_S, LOOPS, PASSAGES_KEPT

_KEY: Final = ("account_id", "hour", "output", "passage")
_SIDES: Final = (("loop_out", True), ("loop_in", False))


def loops(events: pl.DataFrame) -> pl.DataFrame:
    """What ``events`` (of ``stack``, without duplicates) add: a LOOPS frame, in order of its first four columns."""
    rows = [LOOPS.to_frame()]
    hour = (pl.col("timestamp").cast(pl.Int64) // (HOUR_S * 1_000_000) * (HOUR_S * 1_000_000)).cast(LOOPS["hour"])
    for name, output in _SIDES:
        if told(events, name) is None:
            continue
        those = events.lazy().select("account_id", "timestamp", pl.col(name).alias("passage")).drop_nulls("passage")
        rows.append(
            those.with_columns(pl.col("passage").list.unique())
            .explode("passage", empty_as_null=True)
            .drop_nulls("passage")
            .select(
                "account_id",
                hour.alias("hour"),
                pl.lit(output).alias("output"),
                "passage",
                pl.lit(1, pl.Int64).alias("events"),
                pl.col("timestamp").alias("first_seen"),
            )
            .collect()
        )
    return merge_loops(*rows) if len(rows) > 1 else rows[0]


def merge_loops(*frames: pl.DataFrame) -> pl.DataFrame:
    """One row an (account_id, hour, output, passage) from LOOPS frames, of each the smallest passages."""
    summed = (
        pl.concat([LOOPS.to_frame(), *frames])
        .group_by(_KEY)
        .agg(pl.col("events").sum(), pl.col("first_seen").min())
        .sort(_KEY)
    )
    place = pl.int_range(pl.len()).over("account_id", "hour", "output")
    return summed.filter(place < PASSAGES_KEPT).select(LOOPS.names())
