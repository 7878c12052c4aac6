"""What OTLP protobuf and OTLP JSON are read into: spans and their attributes as frames, every value as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

# `resource` numbers the rows of a resource's attributes. Ids are lower-case hexadecimal, empty where there is none.
# Times are ns since the epoch as text, null where not told.
SPANS: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "item": pl.Int32,
        "resource": pl.UInt32,
        "trace_id": pl.String,
        "span_id": pl.String,
        "parent_id": pl.String,
        "is_server": pl.Boolean,
        "failed": pl.Boolean,
        "start": pl.String,
        "end": pl.String,
    }
)
# `at` is the position of the span (of the resource) in its frame. Only names that were asked for.
ATTRIBUTES: Final = pl.Schema({"at": pl.UInt32, "key": pl.String, "text": pl.String})
EVENT_ATTRIBUTES: Final = pl.Schema(
    {"at": pl.UInt32, "event": pl.UInt32, "name": pl.String, "key": pl.String, "text": pl.String}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Attributes from which anything is read: by name, or by how it begins."""

    names: frozenset[str]
    prefixes: tuple[str, ...]

    def mask(self, keys: pl.Series) -> pl.Series:
        """True where one is wanted."""
        key = pl.col("key")
        begins = [key.str.starts_with(prefix) for prefix in self.prefixes]
        return keys.to_frame("key").select(pl.any_horizontal(key.is_in(list(self.names)), *begins)).to_series()


@dataclass(frozen=True, slots=True)
class Export:
    """The spans of many messages, in order; attributes of spans, of resources and of span events, in long form."""

    spans: pl.DataFrame
    attributes: pl.DataFrame
    resources: pl.DataFrame
    events: pl.DataFrame


NO_SPANS: Final = Export(SPANS.to_frame(), ATTRIBUTES.to_frame(), ATTRIBUTES.to_frame(), EVENT_ATTRIBUTES.to_frame())


def joined(exports: list[Export]) -> Export:
    """All in one, by row and item; positions and resources are numbered anew."""
    if len(exports) == 1:
        return exports[0]
    spans, attributes, resources, events = [], [], [], []
    first, first_resource = 0, 0
    for one in exports:
        spans.append(one.spans.with_columns(pl.col("resource") + first_resource))
        attributes.append(one.attributes.with_columns(pl.col("at") + first))
        events.append(one.events.with_columns(pl.col("at") + first))
        resources.append(one.resources.with_columns(pl.col("at") + first_resource))
        first += one.spans.height
        # Of resources only those with attributes asked for are here; a span's number is as high as it gets.
        first_resource += int(one.spans["resource"].max() or 0) + 1  # type: ignore[arg-type]
    return Export(
        pl.concat(spans).cast(SPANS),
        pl.concat(attributes).cast(ATTRIBUTES),
        pl.concat(resources).cast(ATTRIBUTES),
        pl.concat(events).cast(EVENT_ATTRIBUTES),
    )


def exploded(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """A row for each element of a list of structs, its fields as columns; rows without any are gone."""
    full = (frame[name].list.len() > 0).fill_null(value=False)
    # Filtering would copy all that is nested in it.
    return (frame if full.all() else frame.filter(full)).explode(name).unnest(name)


def by_value(column: pl.Series, text: Callable[[Any], str | None]) -> pl.Series:
    """What ``text`` makes of each distinct value: for what is rare, or nearly always the same."""
    if column.null_count() == len(column):
        return pl.Series(column.name, [None], dtype=pl.String).new_from_index(0, len(column))
    distinct = column.drop_nulls().unique()
    made = pl.Series([text(value) for value in distinct], dtype=pl.String)
    return column.replace_strict(distinct, made, default=None, return_dtype=pl.String)


def as_json(value: Any) -> str:
    """A structured value as JSON."""
    return msgspec.json.encode(value).decode()
