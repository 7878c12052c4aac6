"""Messages of the raw topic → items: one JSON object, an array, NDJSON, Arrow or OTLP protobuf, told apart in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from pipeline.config import EventSettings
from pipeline.events.schema import Reason

ITEMS: Final = pl.Schema({"row": pl.UInt32, "item": pl.Int32, "line": pl.String})
WHOLE: Final = -1  # the item number of a message as a whole

_BLANK: Final = " \t\r\n\ufeff"
_BLANK_BYTES: Final = b" \t\r\n"
_RAW_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
# An Arrow file begins with ARROW1, a stream with the continuation marker.
_ARROW_FILE: Final = b"ARROW1"
_ARROW_STREAM: Final = b"\xff\xff\xff\xff"
_PROTOBUF_FIELD_1: Final = b"\x0a"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that is no event: its message's row, its number there, why, and its bytes if not the whole message."""

    row: int
    item: int
    reason: Reason
    detail: str
    payload: bytes | None = None


@dataclass(slots=True)
class Split:
    """Items of JSON messages, and the messages that are read otherwise, by row of the batch."""

    items: pl.DataFrame
    arrow: list[int] = field(default_factory=list)
    protobuf: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def split(raw: pl.DataFrame, settings: EventSettings) -> Split:
    """Take a batch (RAW with a ``row`` column) apart. Every row gives items, or is in exactly one of the lists."""
    texts = _texts(raw["value"], settings.max_message_bytes).str.strip_chars(_BLANK)
    if _all_objects(texts, raw["format"]):  # mostly so, and then there is nothing to sort out
        return Split(raw.select("row", pl.lit(0, pl.Int32).alias("item"), texts.alias("line")))
    size = pl.col("value").bin.size()
    marked = raw.select(
        "row",
        "value",
        texts.alias("text"),
        pl.when(size.fill_null(0) == 0)
        .then(pl.lit("empty"))
        .when(size > settings.max_message_bytes)
        .then(pl.lit("large"))
        .when(pl.col("value").bin.starts_with(_ARROW_FILE) | pl.col("value").bin.starts_with(_ARROW_STREAM))
        .then(pl.lit("arrow"))
        .when(pl.col("format").str.to_lowercase().str.contains("proto"))
        .then(pl.lit("protobuf"))
        .alias("kind"),
    ).with_columns(
        pl.when(pl.col("kind").is_not_null())
        .then("kind")
        .when(pl.col("text").is_null())
        .then(pl.lit("bytes"))
        .when(pl.col("text") == "")
        .then(pl.lit("empty"))
        .when(pl.col("text").str.starts_with("{") & ~pl.col("text").str.contains("\n", literal=True))
        .then(pl.lit("object"))
        .when(pl.col("text").str.starts_with("["))
        .then(pl.lit("array"))
        .otherwise(pl.lit("lines"))
        .alias("kind")
    )
    found = Split(
        marked.filter(pl.col("kind") == "object").select(
            "row", pl.lit(0, pl.Int32).alias("item"), pl.col("text").alias("line")
        )
    )
    others = marked.filter(pl.col("kind") != "object")
    if others.is_empty():
        return found
    packed: list[tuple[int, Sequence[str | None]]] = []
    for row, value, text, kind in others.iter_rows():  # messages, not events
        lines = _sort_out(row, value or b"", text or "", kind, found)
        if len(lines) > settings.max_events_per_message:
            detail = f"{len(lines)} events, more than {settings.max_events_per_message}"
            # The message as a whole then, not its spoilt lines as well.
            found.refused = [one for one in found.refused if one.row != row]
            found.refused.append(Refusal(row, WHOLE, "too_many_events", detail))
        elif lines:
            packed.append((row, lines))
    if packed:
        frame = pl.DataFrame(packed, schema={"row": pl.UInt32, "line": pl.List(pl.String)}, orient="row")
        items = frame.with_columns(pl.int_ranges(0, pl.col("line").list.len(), dtype=pl.Int32).alias("item"))
        found.items = pl.concat([found.items, items.explode("line", "item").drop_nulls("line").select(ITEMS.names())])
    return found


def _all_objects(texts: pl.Series, formats: pl.Series) -> bool:
    """Whether each message is one JSON object in one line, and none says that it is protobuf."""
    if formats.null_count() < len(formats) and formats.str.to_lowercase().str.contains("proto", literal=True).any():
        return False
    return (
        texts.null_count() == 0
        and texts.str.starts_with("{").all()
        and not texts.str.contains("\n", literal=True).any()
    )


def _texts(values: pl.Series, most_bytes: int) -> pl.Series:
    """As UTF-8; null of what is none, or too large to be looked at."""
    if (values.bin.size().max() or 0) <= most_bytes:  # type: ignore[operator]
        try:
            return values.cast(pl.String)
        except pl.exceptions.PolarsError:  # some are no UTF-8, and the cast (strict or not) does not say which
            pass
    return pl.Series("value", [_decoded(value, most_bytes) for value in values], dtype=pl.String)


def _decoded(value: bytes | None, most_bytes: int) -> str | None:
    if value is None or len(value) > most_bytes:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _sort_out(row: int, value: bytes, text: str, kind: str, found: Split) -> Sequence[str | None]:
    """Items of a packed message; of any other none: it is put where it belongs."""
    if kind in {"arrow", "protobuf"}:
        (found.arrow if kind == "arrow" else found.protobuf).append(row)
    elif kind == "empty":
        found.refused.append(Refusal(row, WHOLE, "empty_message", "nothing in it"))
    elif kind == "large":
        found.refused.append(Refusal(row, WHOLE, "too_large", f"{len(value)} bytes are more than are read"))
    elif kind == "bytes":
        return _of_bytes(row, value, found)
    elif kind == "array":
        return _elements(row, value, text, found)
    else:
        return _lines(row, value, text, found)
    return []


def _of_bytes(row: int, value: bytes, found: Split) -> list[str | None]:
    """A message that is no UTF-8: protobuf, or lines of which some are spoilt (None, and refused here)."""
    if value.startswith(_PROTOBUF_FIELD_1):
        found.protobuf.append(row)
        return []
    parts = [part for part in (line.strip(_BLANK_BYTES) for line in value.split(b"\n")) if part]
    lines = [_decoded(part, len(part)) for part in parts]
    if any(line is not None and line.startswith("{") for line in lines):
        found.refused += [
            Refusal(row, item, "invalid_utf8", "the line is no UTF-8", parts[item])
            for item, line in enumerate(lines)
            if line is None
        ]
        return lines
    if value.lstrip(_BLANK_BYTES).startswith((b"{", b"[")):
        found.refused.append(Refusal(row, WHOLE, "invalid_utf8", "the text is no UTF-8"))
    else:
        found.refused.append(Refusal(row, WHOLE, "unknown_format", "neither JSON, Arrow nor OTLP protobuf"))
    return []


def _elements(row: int, value: bytes, text: str, found: Split) -> list[str]:
    try:
        elements = _RAW_ARRAY.decode(text)
    except RecursionError:
        found.refused.append(Refusal(row, WHOLE, "too_deep", "nested too deeply"))
        return []
    except msgspec.MsgspecError as error:
        _maybe_protobuf(row, value, str(error)[:200], found)
        return []
    if not elements:
        found.refused.append(Refusal(row, WHOLE, "empty_message", "an empty list"))
    return [bytes(element).decode().replace("\n", " ").replace("\r", " ") for element in elements]


def _lines(row: int, value: bytes, text: str, found: Split) -> list[str]:
    if _is_json(text):  # an object over several lines, or a lone value; text in JSON holds no raw line break
        return [text.replace("\n", " ").replace("\r", " ")]
    lines = [line for line in (part.strip(_BLANK) for part in text.split("\n")) if line]
    if any(line.startswith("{") and _is_json(line) for line in lines) or (len(lines) == 1 and text.startswith("{")):
        return lines
    _maybe_protobuf(row, value, "no line of it is a JSON object", found)
    return []


def _maybe_protobuf(row: int, value: bytes, detail: str, found: Split) -> None:
    """Protobuf may happen to be text, and to begin like JSON: a line feed is the tag of its first field."""
    if value.startswith(_PROTOBUF_FIELD_1):
        found.protobuf.append(row)
    else:
        found.refused.append(Refusal(row, WHOLE, "invalid_json", detail))


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
