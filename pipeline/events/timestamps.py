"""Timestamps as text → UTC: RFC 3339 with any offset, or epoch in s, ms, µs or ns, told apart by size."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.schema import UTC_MICROSECONDS

# Up to the year 5138 in seconds; from 1973 on in each smaller unit. What is read as a wrong unit is far too old.
_SECONDS_BELOW: Final = 1e11
_MILLISECONDS_BELOW: Final = 1e14
_MICROSECONDS_BELOW: Final = 1e17


def read_timestamps(texts: pl.Series) -> pl.Series:
    """UTC microseconds; null where the text is neither. Finer digits are cut off."""
    stamps = texts.str.to_datetime("%+", strict=False, time_unit="us", time_zone="UTC")
    if stamps.null_count() == texts.null_count():
        return stamps
    column = pl.col("text")
    whole = column.cast(pl.Int64, strict=False)
    number = column.cast(pl.Float64, strict=False)
    size = number.abs()
    micros = (
        pl.when(size < _SECONDS_BELOW)
        .then((number * 1e6).round())
        .when(size < _MILLISECONDS_BELOW)
        .then((number * 1e3).round())
        # Whole numbers stay integers: a double has no room for a nanosecond of today.
        .when((size < _MICROSECONDS_BELOW) & whole.is_null())
        .then(number.round())
        .when(whole.is_null())
        .then((number / 1e3).floor())
        .cast(pl.Int64, strict=False)
    )
    epoch = (
        pl.when(number.is_finite() & (size < 9e18))
        .then(
            pl.when(whole.is_not_null() & (size >= _MICROSECONDS_BELOW))
            .then(whole // 1000)
            .when(whole.is_not_null() & (size >= _MILLISECONDS_BELOW))
            .then(whole)
            .otherwise(micros)
        )
        .cast(UTC_MICROSECONDS)
    )
    frame = pl.DataFrame({"text": texts, "stamp": stamps})
    return frame.select(pl.coalesce("stamp", epoch)).to_series()
