"""Arrow IPC (file or stream) of native columns → native fields as text, a message at a time: the bulk format."""

from __future__ import annotations

import polars as pl

from pipeline.events.ipc import ArrowError, read_frame
from pipeline.events.native import FIELDS


class ArrowMessageError(ValueError):
    """Bytes that begin like Arrow and are none, or columns that cannot be read."""


def read_arrow(value: bytes) -> pl.DataFrame:
    """The native columns that are there, as text.

    Raises:
        ArrowMessageError: it cannot be read.
    """
    try:
        frame = read_frame(value)
        known = [name for name in frame.columns if name in FIELDS]
        return frame.select(_as_text(name, frame.schema[name]) for name in known)
    except (ArrowError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        kind = str(error) if isinstance(error, ArrowError) else type(error).__name__
        raise ArrowMessageError(f"no Arrow batch of native columns: {kind}") from None


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        zoned = column if kind.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if isinstance(kind, pl.List | pl.Array | pl.Struct):
        # Only structs become JSON: wrap it, then take the wrapping off.
        json = pl.struct(column).struct.json_encode()
        inner = json.str.slice(len(name) + 4).str.head(-1)
        return pl.when(column.is_not_null()).then(inner).alias(name)
    return column.cast(pl.String)
