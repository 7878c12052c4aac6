"""Frames ↔ Arrow IPC bytes: written as cheaply as they can be read, and read whatever the bytes are.

Polars' own reader trusts them: a damaged length makes it ask for petabytes and abort the process, and the message is
read again after the restart. Arrow C++ reports the same damage as an error, and checks what the buffers hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa

# A batch is small: threads cost more than they save.
_OPTIONS: Final = pa.ipc.IpcReadOptions(use_threads=False)
_LZ4: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_FILE_MAGIC: Final = b"ARROW1"


class ArrowError(ValueError):
    """Bytes that are no Arrow IPC file or stream, or a damaged one."""


def write_frame(frame: pl.DataFrame) -> bytes:
    """An IPC file with lz4: for frames of many columns that are read once, soon.

    Each buffer is compressed alone. zstd begins anew for each, which is most of reading and writing two hundred small
    ones: half as many bytes at more than twice the CPU time (``python -m benchmarks.batches``). A file, since its end
    is marked: of a stream that was cut between two messages the rest would be missing silently.
    """
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=_LZ4) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_frame(value: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """An IPC file or stream in memory; all of it, or some columns.

    Raises:
        ArrowError: it cannot be read; names the kind of error, never content.
    """
    try:
        open_ipc = pa.ipc.open_file if value.startswith(_FILE_MAGIC) else pa.ipc.open_stream
        opened = open_ipc(value, options=_OPTIONS)
        if columns is None:
            table = opened.read_all()
        else:
            # Selected before reading: else all the others are decompressed as well.
            places = [opened.schema.names.index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
            table = open_ipc(value, options=options).read_all().select(columns)
        table.validate(full=True)
        return pl.DataFrame(pl.from_arrow(table))
    # ArrowMemoryError is what an absurd length gives; a panic (a BaseException) what Polars makes of an odd type.
    except (
        pa.ArrowException,
        MemoryError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        raise ArrowError(type(error).__name__) from None
