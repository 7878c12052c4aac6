"""Event batches on the internal topic: Arrow IPC, lz4, schema in the message."""

from __future__ import annotations

import polars as pl

from pipeline.errors import CorruptBatchError
from pipeline.events.ipc import ArrowError, read_frame, write_frame
from pipeline.events.schema import ADDED, EVENTS

EVENTS_VERSION = b"5"  # workers read older ones too: update them before ingest
VERSION_HEADER = "stillwatch-events"


def encode_events(events: pl.DataFrame) -> bytes:
    """Serialise a frame with the columns of EVENTS."""
    return write_frame(events)


def decode_events(value: bytes | None, *, topic: str = "", partition: int = -1, offset: int = -1) -> pl.DataFrame:
    """Read what ``encode_events`` wrote.

    Raises:
        CorruptBatchError: the bytes are no Arrow or its columns are not those of EVENTS, of this version or of
            an older one.
    """
    try:
        frame = read_frame(value or b"")
    except ArrowError as error:
        raise CorruptBatchError(topic, partition, offset, f"no Arrow batch: {error}") from None
    lacking = [name for name in ADDED if name not in frame.columns]
    versions = [ADDED[name] for name in ADDED if name in frame.columns]
    # A version has all columns of those before it: what lacks an older one has lost it.
    if lacking and max(versions, default=1) < min(ADDED[name] for name in lacking):
        frame = frame.with_columns(pl.lit(None, EVENTS[name]).alias(name) for name in lacking)
        frame = frame.select(name for name in EVENTS.names() if name in frame.columns)
    if frame.schema != EVENTS:
        raise CorruptBatchError(topic, partition, offset, f"columns are not those of version {EVENTS_VERSION.decode()}")
    return frame
