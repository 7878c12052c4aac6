"""Answers as bytes: Arrow's stream for programs of ours, JSON for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import pyarrow as pa

from pipeline.serve.view import Answer

ARROW: Final = "application/vnd.apache.arrow.stream"
_JSON: Final = msgspec.json.Encoder(decimal_format="number")  # sums of DuckDB are decimals


def answered(ask: Callable[[], Answer], arrow: bool) -> tuple[bytes, bool]:
    """What is asked for, as Arrow's stream or as JSON; and whether it was cut."""
    answer = ask()
    return (_as_arrow(answer) if arrow else _as_json(answer)), answer.truncated


def _as_arrow(answer: Answer) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.table.schema) as writer:
        writer.write_table(answer.table)
    return bytes(sink.getvalue())


def _as_json(answer: Answer) -> bytes:
    columns = [{"name": item.name, "type": str(item.type)} for item in answer.table.schema]
    return _JSON.encode({"columns": columns, "rows": answer.table.to_pylist(), "truncated": answer.truncated})
