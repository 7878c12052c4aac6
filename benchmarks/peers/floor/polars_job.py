"""Job J in Polars, for whoever consumes in batches."""

from __future__ import annotations

from pathlib import Path

import polars as pl

SCHEMA = {
    "timestamp": pl.String,
    "account_id": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "ip": pl.String,
}
KEY = ["account_id", "window"]


def partial(values: list[bytes]) -> pl.DataFrame:
    """What one batch adds, by account and minute; addresses as lists of distinct ones."""
    events = pl.read_ndjson(b"\n".join(values), schema=SCHEMA).with_columns(
        pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    )
    return (
        events.with_columns(window=pl.col("timestamp").dt.truncate("1m"))
        .group_by(KEY)
        .agg(
            events=pl.len(),
            input_tokens=pl.col("input_tokens").sum(),
            output_tokens=pl.col("output_tokens").sum(),
            ips=pl.col("ip").unique(),
            first=pl.col("timestamp").min(),
            last=pl.col("timestamp").max(),
        )
    )


def merged(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """All of them as one."""
    return (
        pl.concat(parts)
        .group_by(KEY)
        .agg(
            pl.col("events", "input_tokens", "output_tokens").sum(),
            pl.col("ips").explode().unique(),
            pl.col("first").min(),
            pl.col("last").max(),
        )
    )


def write(result: pl.DataFrame, out: str) -> None:
    """As the bench reads it."""
    result.select(
        "account_id",
        pl.col("window").dt.epoch("us"),
        "events",
        "input_tokens",
        "output_tokens",
        ips=pl.col("ips").list.len(),
        first=pl.col("first").dt.epoch("us"),
        last=pl.col("last").dt.epoch("us"),
    ).write_csv(Path(out))
