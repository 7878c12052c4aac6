"""JSON objects, one a line → columns of text, in bulk; the lines that are no JSON object are told apart.

Every value is read as text (numbers and nested JSON serialised), so that one wrong type spoils no other line.

Polars 2.1 serialises nested JSON without escaping backslashes and control characters: `\\frac` comes back as a form
feed, and a backslash before a quote as no JSON at all. So escapes are doubled before reading: what is nested then
comes out as the JSON that went in, and plain text still escaped, to be unescaped (`unescape`). Such text holds no quote
of its own: by that the two are told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from pipeline.events.schema import Reason
from pipeline.events.seen import Seen

MAX_DEPTH: Final = 1024  # of Polars' parser

_BAD_ESCAPE: Final = re.compile(rb"\\(?:[^/bfnrtu]|u(?![0-9a-fA-F]{4})|$)")
_TEXT: Final = pl.Schema({"v": pl.String})

BAD_LINES: Final = pl.Schema({"line": pl.UInt32, "reason": pl.String, "detail": pl.String})
_NONE_BAD: Final = BAD_LINES.to_frame()


@dataclass(frozen=True, slots=True)
class Parsed:
    """``columns`` has a row for each good line, ``line`` their positions, ``bad`` the others (BAD_LINES)."""

    columns: pl.DataFrame
    line: pl.Series
    bad: pl.DataFrame


def parse(lines: pl.Series, schema: pl.Schema, seen: Seen | None = None) -> Parsed:
    """Read lines (text, none null) into the columns of ``schema``; what is not in it is passed over.

    What becomes of a line does not depend on the lines around it, nor on what ``seen`` (of the same schema, for streams
    of batches) remembers.
    """
    positions = pl.arange(0, len(lines), dtype=pl.UInt32, eager=True).alias("line")
    columns = _read(lines, schema, seen)
    if columns is not None:
        return Parsed(columns, positions, _NONE_BAD)
    bad = _bad_lines(lines, schema)
    kept = positions.filter(~positions.is_in(bad["line"].implode()))
    good = _read(lines.gather(kept), schema)
    assert good is not None  # each was read before, alone or with others
    return Parsed(good, kept, bad)


def nested(texts: pl.Series, schema: pl.Schema) -> pl.DataFrame:
    """Fields of JSON objects held as text in a column; a row each, all null where the text is no JSON object."""
    if texts.null_count() == len(texts):
        return pl.select(pl.repeat(None, len(texts), dtype=kind).alias(name) for name, kind in schema.items())
    known = texts.to_frame("t").select(
        pl.when(pl.col("t").str.starts_with("{")).then(pl.col("t").str.replace_all(r"[\r\n]", " ")).fill_null("{}")
    )
    parsed = parse(known.to_series(), schema)
    if len(parsed.line) == len(texts):
        return parsed.columns
    rows = pl.DataFrame({"line": pl.arange(0, len(texts), dtype=pl.UInt32, eager=True)})
    found = parsed.columns.with_columns(parsed.line)
    return rows.join(found, on="line", how="left", maintain_order="left").drop("line")


def unescape(columns: pl.DataFrame) -> pl.DataFrame:
    """Plain text columns as they were meant; nested JSON stays as it is. For columns that come out of lists: `parse`
    does it for its own.
    """
    for name, kind in columns.schema.items():
        if kind != pl.String:
            continue
        column = columns[name]
        escaped = column.str.contains("\\", literal=True).fill_null(value=False)
        if not escaped.any():
            continue
        escaped &= ~column.str.contains('"', literal=True).fill_null(value=False)
        at = escaped.arg_true()
        if at.is_empty():
            continue
        lines = column.gather(at).to_frame("t").select(pl.concat_str(pl.lit('{"v":"'), "t", pl.lit('"}'))).to_series()
        meant = pl.read_ndjson(lines.str.join("\n").cast(pl.Binary).item(), schema=_TEXT)["v"]
        columns = columns.with_columns(column.scatter(at, meant).alias(name))
    return columns


def _read(lines: pl.Series, schema: pl.Schema, seen: Seen | None = None) -> pl.DataFrame | None:
    if lines.is_empty():
        return schema.to_frame()
    joined = lines.str.join("\n").cast(pl.Binary).item()  # as bytes at once: by way of a str it takes six times as long
    text = _doubled(joined)
    if text is None:
        return None
    try:
        columns = pl.read_ndjson(text, schema=schema) if seen is None else seen.read(text)
    # A panic is what Polars makes of some bytes; it is a BaseException.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    # Blank lines are passed over silently: then rows would stand for the wrong lines.
    if columns.height != len(lines):
        return None
    return unescape(columns) if b"\\" in joined else columns


def _doubled(text: bytes) -> bytes | None:
    """Every escape doubled, quotes by number; None when one is no JSON escape, which doubling would hide."""
    if b"\\" not in text:
        return text
    # Pairs first: what is left then begins an escape.
    text = text.replace(b"\\\\", b"\\u005c").replace(b'\\"', b"\\u0022")
    return None if _BAD_ESCAPE.search(text) else text.replace(b"\\", b"\\\\")


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
