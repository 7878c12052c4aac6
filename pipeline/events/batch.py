"""Event batches on the internal topic: Arrow IPC, lz4, schema in the message.

Of the fifty columns of EVENTS a gateway's events fill twenty: those that are null throughout are left out, on the way
and in the worker, since each costs as much as one with values in it (``python -m benchmarks.batches``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import polars as pl

from pipeline.errors import CorruptBatchError
from pipeline.events import native
from pipeline.events.ipc import ArrowError, read_frame, write_frame
from pipeline.events.schema import EVENTS

EVENTS_VERSION = b"6"  # workers read older ones too: update them before ingest
VERSION_HEADER = "stillwatch-events"

# What every event has: a batch without one of them is damaged.
REQUIRED: Final = (*native.REQUIRED, "source_format")


def encode_events(events: pl.DataFrame) -> bytes:
    """Serialise a frame with the columns of EVENTS, or some of them, in that order, REQUIRED among them."""
    return write_frame(filled(events))


def filled(events: pl.DataFrame) -> pl.DataFrame:
    """Without columns that no event tells, but for REQUIRED."""
    nulls = zip(events.columns, events.null_count().row(0), strict=True)
    return events.select(name for name, count in nulls if count < events.height or name in REQUIRED)


def decode_events(value: bytes | None, *, topic: str = "", partition: int = -1, offset: int = -1) -> pl.DataFrame:
    """Read what ``encode_events`` wrote: the columns of EVENTS that it has, in that order; the others are null.

    Raises:
        CorruptBatchError: the bytes are no Arrow, or its columns are not of EVENTS, or lack one of REQUIRED.
    """
    try:
        frame = read_frame(value or b"")
    except ArrowError as error:
        raise CorruptBatchError(topic, partition, offset, f"no Arrow batch: {error}") from None
    there = set(frame.columns)
    if not there.issuperset(REQUIRED) or frame.schema != _schema(there):
        raise CorruptBatchError(topic, partition, offset, f"columns are not those of version {EVENTS_VERSION.decode()}")
    return frame


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frames of events below each other, each with REQUIRED and any other columns of EVENTS: with all that any has."""
    if not frames:
        return _schema(REQUIRED).to_frame()
    there = {name for frame in frames for name in frame.columns}
    return pl.concat([_with(frame, there) for frame in frames], rechunk=True)


def whole(events: pl.DataFrame) -> pl.DataFrame:
    """With all columns of EVENTS."""
    return _with(events, EVENTS)


def told(events: pl.DataFrame, name: str) -> pl.Series | None:
    """A column; None where no event tells it."""
    column = events.get_column(name, default=None)
    return None if column is None or column.null_count() == len(column) else column


def _with(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    if frame.width == len(names):
        return frame
    return frame.select(
        pl.col(name) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in _schema(names).items()
    )


def _schema(names: Collection[str]) -> pl.Schema:
    return pl.Schema((name, kind) for name, kind in EVENTS.items() if name in names)
