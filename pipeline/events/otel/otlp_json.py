"""OTLP JSON → Export. Names in either case; ids in hexadecimal (as OTLP has it) or base64 (as protobuf's own JSON).

Polars reads JSON that is nested as deeply at some 250 µs a call; msgspec into typed records at a tenth of it. So this
is the one format whose attributes Python touches one by one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Final

import msgspec
import polars as pl

from pipeline.events.otel.otlp import ATTRIBUTES, EVENT_ATTRIBUTES, SPANS, Export, Wanted, as_json
from pipeline.events.schema import Reason

_SERVER: Final = (2, "2", "SPAN_KIND_SERVER")
_ERROR: Final = (2, "2", "STATUS_CODE_ERROR")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_SNAKE: Final = re.compile(r'^\{\s*"resource_spans"')
_INT: Final = re.compile(r"-?\d{1,18}")
_MAX_DEPTH: Final = 32  # of lists and maps in an attribute


class OtlpError(ValueError):
    """A line that is no export of spans."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


def _decoder(rename: Any) -> msgspec.json.Decoder[Any]:
    """A reader of exports whose names are in one case. Only the shape is strict; a value may be of any type."""

    def record(called: str, /, **fields: Any) -> Any:
        return msgspec.defstruct(
            called, [(field, kind | None, None) for field, kind in fields.items()], rename=rename, gc=False
        )

    values = ("string_value", "int_value", "bool_value", "double_value", "bytes_value", "array_value", "kvlist_value")
    value = msgspec.defstruct("Value", [(name, Any, None) for name in values], rename=rename, gc=False)
    pairs: Any = list[record("Pair", key=str, value=value)]  # type: ignore[misc]
    span: Any = record(
        "Span",
        trace_id=str,
        span_id=str,
        parent_span_id=str,
        kind=int | str,
        start_time_unix_nano=int | str,
        end_time_unix_nano=int | str,
        attributes=pairs,
        events=list[record("Event", name=str, attributes=pairs)],  # type: ignore[misc]
        status=record("Status", code=int | str),
    )
    scopes: Any = list[record("Scope", spans=list[span])]  # type: ignore[misc]
    resource: Any = record(
        "ResourceSpans",
        resource=record("Resource", attributes=pairs),
        scope_spans=scopes,
        instrumentation_library_spans=scopes,
    )
    return msgspec.json.Decoder(record("Export", resource_spans=list[resource]))


_CAMEL: Final = _decoder("camel")
_UNDERSCORED: Final = _decoder(None)


def parse_export(line: str) -> Any:
    """One export as records, for ``flatten``.

    Raises:
        OtlpError: it is no JSON, or not of that shape; the detail names the place, never what stands there.
    """
    try:
        return (_UNDERSCORED if _SNAKE.match(line) else _CAMEL).decode(line)
    except RecursionError:
        raise OtlpError("too_deep", "nested too deeply") from None
    except msgspec.ValidationError as error:
        raise OtlpError("wrong_type", f"not the shape of OTLP JSON: {error}"[:200]) from None
    except msgspec.MsgspecError as error:
        raise OtlpError("invalid_json", str(error)[:200]) from None


def span_count(export: Any) -> int:
    """How many spans it holds."""
    return sum(1 for resource in export.resource_spans or () if resource is not None for _ in _spans(resource))


def flatten(parsed: Iterable[tuple[int, Any]], wanted: Wanted) -> Export:
    """Exports with the row of their message → their spans. Several exports may share a message: their spans are
    numbered through.
    """
    spans: list[tuple[Any, ...]] = []
    attributes: list[tuple[int, str, str | None]] = []
    resources: list[tuple[int, str, str | None]] = []
    events: list[tuple[int, int, str | None, str, str | None]] = []
    resource_numbers, event_numbers = count(), count()
    item, last_row = -1, -1
    for row, export in parsed:
        item, last_row = (item if row == last_row else -1), row
        for resource in filter(None, export.resource_spans or ()):
            number = next(resource_numbers)
            about = resource.resource
            resources += [(number, key, text) for key, text in _pairs(about and about.attributes, wanted)]
            for span in _spans(resource):
                item += 1
                at = len(spans)
                spans.append(_span(row, item, number, span))
                attributes += [(at, key, text) for key, text in _pairs(span and span.attributes, wanted)]
                for event in filter(None, (span and span.events) or ()):
                    event_number = next(event_numbers)
                    told = _pairs(event.attributes, wanted)
                    events += [(at, event_number, event.name, key, text) for key, text in told]
    return Export(
        pl.DataFrame(spans, schema=SPANS, orient="row"),
        pl.DataFrame(attributes, schema=ATTRIBUTES, orient="row"),
        pl.DataFrame(resources, schema=ATTRIBUTES, orient="row"),
        pl.DataFrame(events, schema=EVENT_ATTRIBUTES, orient="row"),
    )


def _spans(resource: Any) -> Iterator[Any]:
    for scope in resource.scope_spans or resource.instrumentation_library_spans or ():
        yield from (scope and scope.spans) or ()


def _span(row: int, item: int, resource: int, span: Any) -> tuple[Any, ...]:
    if span is None:
        return (row, item, resource, "", "", "", False, False, None, None)
    return (
        row,
        item,
        resource,
        _id(span.trace_id, 16),
        _id(span.span_id, 8),
        _id(span.parent_span_id, 8),
        span.kind in _SERVER,
        span.status is not None and span.status.code in _ERROR,
        _time(span.start_time_unix_nano),
        _time(span.end_time_unix_nano),
    )


def _id(text: str | None, size_bytes: int) -> str:
    if not text:
        return ""
    if len(text) == 2 * size_bytes and _HEX.fullmatch(text):
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return text


def _time(nanoseconds: int | str | None) -> str | None:
    return None if nanoseconds in (None, 0, "0", "") else str(nanoseconds)


def _pairs(pairs: Any, wanted: Wanted) -> Iterator[tuple[str, str | None]]:
    names, prefixes = wanted.names, wanted.prefixes
    for pair in pairs or ():
        if pair is not None and pair.key is not None and (pair.key in names or pair.key.startswith(prefixes)):
            yield pair.key, _text(pair.value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value.string_value, str):
        return value.string_value
    scalars = (value.int_value, value.double_value, value.bool_value, value.bytes_value, value.string_value)
    found = next((one for one in scalars if one is not None), None)
    if found is None:
        found = _listed(value.array_value) if value.array_value is not None else _mapped(value.kvlist_value)
    return found if found is None or isinstance(found, str) else as_json(found)


def _listed(value: Any, depth: int = 0) -> Any:
    values = value.get("values") if isinstance(value, dict) else None
    return [_plain(item, depth + 1) for item in values] if isinstance(values, list) else None


def _mapped(value: Any, depth: int = 0) -> Any:
    values = value.get("values") if isinstance(value, dict) else None
    if not isinstance(values, list):
        return None
    pairs = [pair for pair in values if isinstance(pair, dict) and "key" in pair]
    return {str(pair["key"]): _plain(pair.get("value"), depth + 1) for pair in pairs}


def _plain(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return None
    for name, found in value.items():
        kind = name.replace("_", "").lower()
        if kind == "arrayvalue":
            return _listed(found, depth)
        if kind == "kvlistvalue":
            return _mapped(found, depth)
        return int(found) if kind == "intvalue" and isinstance(found, str) and _INT.fullmatch(found) else found
    return None
