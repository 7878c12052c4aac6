"""A poll's records as a RAW frame: nothing is done per record but to read its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from pipeline.events.schema import RAW

FORMAT_HEADERS: Final = ("stillwatch-format", "content-type")  # the first that is there wins


def to_raw(polled: Mapping[Any, Sequence[Any]], *, received_s: float) -> pl.DataFrame:
    """Rows of RAW in offset order within a partition; ``polled`` is what ``KafkaConsumer.poll`` returned."""
    frames = [
        pl.DataFrame(
            {
                "offset": [record.offset for record in records],
                "format": [header_format(record.headers) if record.headers else None for record in records],
                "value": pl.Series([record.value for record in records], dtype=pl.Binary),
            },
            schema_overrides={"offset": pl.Int64, "format": pl.String},
        ).select(
            pl.lit(source.topic, pl.String).alias("topic"),
            pl.lit(source.partition, pl.Int32).alias("partition"),
            "offset",
            "format",
            "value",
            pl.lit(received_s, pl.Float64).alias("received_s"),
        )
        for source, records in polled.items()
        if records
    ]
    return pl.concat(frames) if frames else RAW.to_frame()


def header_format(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """What the producer says the message is; None where it says nothing readable."""
    named = {name.lower(): value for name, value in headers if value}
    for name in FORMAT_HEADERS:
        value = named.get(name)
        if value is not None:
            return value.decode("utf-8", "replace").split(";")[0].strip().lower() or None
    return None


def size_bytes(raw: pl.DataFrame) -> int:
    """Bytes of payload."""
    return int(raw["value"].bin.size().sum() or 0)
