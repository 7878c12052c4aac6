"""Arrow IPC bytes from outside → a frame, whatever the bytes are.

Polars' own reader trusts them: a damaged length makes it ask for petabytes and abort the process, and the message is
read again after the restart. Arrow C++ reports the same damage as an error, and checks what the buffers hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl
import pyarrow as pa

_OPTIONS: Final = pa.ipc.IpcReadOptions(use_threads=False)  # a batch is small: threads cost more than they save
_FILE_MAGIC: Final = b"ARROW1"


class ArrowError(ValueError):
    """Bytes that are no Arrow IPC file or stream, or a damaged one."""


def read_frame(value: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """An IPC file or stream in memory; all of it, or some columns.

    Raises:
        ArrowError: it cannot be read; names the kind of error, never content.
    """
    try:
        open_ipc = pa.ipc.open_file if value.startswith(_FILE_MAGIC) else pa.ipc.open_stream
        opened = open_ipc(value, options=_OPTIONS)
        table = opened.read_all()
        if columns is not None:
            table = table.select(columns)
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
