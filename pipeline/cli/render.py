"""Rows as a table for people, or as JSON, NDJSON, CSV or Parquet for programs."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

# What is stored came from outside: a control character in it could steer the terminal.
_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in {9, 10}}

_JSON = msgspec.json.Encoder(decimal_format="number")  # sums of DuckDB are decimals


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def render(rows: pa.Table, fmt: Format, *, width: int | None = None) -> bytes:
    """The rows in one format."""
    if fmt is Format.TABLE:
        return _table(rows, width).encode()
    if fmt is Format.JSON:
        return _JSON.encode(rows.to_pylist()) + b"\n"
    if fmt is Format.NDJSON:
        return b"".join(_JSON.encode(row) + b"\n" for row in rows.to_pylist())
    if fmt is Format.CSV:
        return _csv(rows).encode()
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def plain(value: Any) -> str:
    """One value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "; ".join(plain(item) for item in value)
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, datetime):
        # The other formats have the microseconds; all of the store is UTC.
        text = value.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
    elif isinstance(value, dict | bytes):
        text = _JSON.encode(value).decode()
    else:
        text = str(value)
    return text.translate(_CONTROL)


def _table(rows: pa.Table, width: int | None) -> str:
    table = Table(show_edge=False, pad_edge=False)
    for item in rows.schema:
        number = pa.types.is_integer(item.type) or pa.types.is_floating(item.type) or pa.types.is_decimal(item.type)
        table.add_column(Text(plain(item.name)), justify="right" if number else "left", overflow="fold")
    for columns in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        table.add_row(*(Text(plain(value)) for value in columns))
    out = io.StringIO()
    # In a pipe nothing is folded: a line is a row.
    Console(file=out, width=width or 10_000, color_system=None, legacy_windows=False).print(table)
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    return f"{text}\n({rows.num_rows} {'row' if rows.num_rows == 1 else 'rows'})\n"


def _csv(rows: pa.Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.column_names)
    for columns in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        writer.writerow([_cell(value) for value in columns])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bytes):
        return _JSON.encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else value
