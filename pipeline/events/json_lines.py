"""JSON objects, one a line → columns of text, in bulk; the lines that are no JSON object are told apart, the rest kept.

Every value is read as text (numbers and nested JSON serialised), so that one wrong type spoils no other line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from pipeline.events.schema import Reason

MAX_DEPTH: Final = 1024  # of Polars' parser

BAD_LINES: Final = pl.Schema({"line": pl.UInt32, "reason": pl.String, "detail": pl.String})


@dataclass(frozen=True, slots=True)
class Parsed:
    """``columns`` has a row for each good line, ``line`` their positions in the input, ``bad`` the others' (BAD_LINES)."""

    columns: pl.DataFrame
    line: pl.Series
    bad: pl.DataFrame


def parse(lines: pl.Series, schema: pl.Schema) -> Parsed:
    """Read lines (text, none null) into the columns of ``schema``; what is not in it is passed over.

    What becomes of a line does not depend on the lines around it.
    """
    positions = pl.arange(0, len(lines), dtype=pl.UInt32, eager=True).alias("line")
    columns = _read(lines, schema)
    if columns is not None:
        return Parsed(columns, positions, BAD_LINES.to_frame())
    bad = _bad_lines(lines, schema)
    kept = positions.filter(~positions.is_in(bad["line"].implode()))
    good = _read(lines.gather(kept), schema)
    assert good is not None  # each was read before, alone or with others
    return Parsed(good, kept, bad)


def nested(texts: pl.Series, schema: pl.Schema) -> pl.DataFrame:
    """Fields of JSON objects held as text in a column; a row each, all null where the text is no JSON object."""
    known = texts.fill_null("{}").str.replace_all("\n", " ", literal=True)
    columns = _read(
        pl.select(pl.when(known.str.starts_with("{")).then(known).otherwise(pl.lit("{}"))).to_series(), schema
    )
    if columns is not None:
        return columns
    parsed = parse(known, schema)
    rows = pl.DataFrame({"line": pl.arange(0, len(texts), dtype=pl.UInt32, eager=True)})
    found = parsed.columns.with_columns(parsed.line)
    return rows.join(found, on="line", how="left", maintain_order="left").drop("line")


def _read(lines: pl.Series, schema: pl.Schema) -> pl.DataFrame | None:
    if lines.is_empty():
        return schema.to_frame()
    text = lines.str.join("\n").item()
    try:
        columns = pl.read_ndjson(text.encode(), schema=schema)
    # A panic is what Polars makes of some bytes; it is a BaseException.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    # Blank lines are passed over silently: then rows would stand for the wrong lines.
    return columns if columns.height == len(lines) else None


def _bad_lines(lines: pl.Series, schema: pl.Schema) -> pl.DataFrame:
    """Lines that Polars refuses when alone. msgspec only says where to look first: Polars has the last word."""
    suspects = [position for position, line in enumerate(lines) if not _is_object(line)]
    bad = [position for position in suspects if _read(lines.slice(position, 1), schema) is None]
    rest = sorted(set(range(len(lines))) - set(bad))
    bad += _bisect(lines, schema, rest)
    found = [(position, *_why(lines[position])) for position in sorted(bad)]
    return pl.DataFrame(found, schema=BAD_LINES, orient="row")


def _bisect(lines: pl.Series, schema: pl.Schema, positions: list[int]) -> list[int]:
    if not positions or _read(lines.gather(positions), schema) is not None:
        return []
    if len(positions) == 1:
        return positions
    half = len(positions) // 2
    return _bisect(lines, schema, positions[:half]) + _bisect(lines, schema, positions[half:])


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, RecursionError):
        return False


def _why(line: str) -> tuple[Reason, str]:
    """The reason for a refused line; the detail names a place, never the text that stands there."""
    try:
        value = msgspec.json.decode(line)
    except RecursionError:
        return "too_deep", f"nested deeper than {MAX_DEPTH}"
    except msgspec.MsgspecError as error:
        return "invalid_json", str(error)[:200]
    if not isinstance(value, dict):
        return "not_an_object", f"a JSON {type(value).__name__}"
    return "too_deep", f"nested deeper than {MAX_DEPTH}, or a number or text that no reader takes"
