"""OTLP messages (protobuf or JSON) → spans with plain attributes, a span at a time: a trace's structure needs it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from pipeline.events.schema import Reason

SERVER: Final = 2
ERROR: Final = 2
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_MAX_DEPTH: Final = 32  # of attribute values
_KINDS: Final = {"SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3}
_STATES: Final = {"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}

Attributes = Mapping[str, Any]


class OtlpError(ValueError):
    """A message that is no export of spans; ``reason`` says which kind of none."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids in lower-case hexadecimal, times in ns since the epoch (0: not told)."""

    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Attributes
    resource: Attributes
    events: Sequence[tuple[str, Attributes]]


def spans_of_protobuf(value: bytes) -> list[Span]:
    """Spans of an ExportTraceServiceRequest or TracesData (they are the same on the wire), in order.

    Raises:
        OtlpError: the bytes are neither, or hold no resource.
    """
    data = TracesData()
    try:
        data.ParseFromString(value)
    except DecodeError:
        raise OtlpError("invalid_protobuf", "no OTLP traces") from None
    if not data.resource_spans:
        raise OtlpError("invalid_protobuf", "no spans in it")
    spans = []
    for resource_spans in data.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope in resource_spans.scope_spans:
            spans += [
                Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    failed=span.status.code == ERROR,
                    attributes=_attributes(span.attributes),
                    resource=resource,
                    events=[(event.name, _attributes(event.attributes)) for event in span.events],
                )
                for span in scope.spans
            ]
    return spans


def spans_of_json(text: str) -> list[Span]:
    """Spans of OTLP JSON, in order. Names in either case; ids in hexadecimal (as OTLP has it) or base64 (as protobuf's
    own JSON has it).

    Raises:
        OtlpError: it is no JSON, or not of that shape.
    """
    try:
        data = msgspec.json.decode(text)
        return list(_spans_of_json(data))
    except RecursionError:
        raise OtlpError("too_deep", "nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise OtlpError("invalid_json", str(error)[:200]) from None
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise OtlpError("wrong_type", "resourceSpans has not the shape of OTLP JSON") from None


def _spans_of_json(data: Any) -> Iterator[Span]:
    for resource_spans in _of(data, "resourceSpans") or ():
        resource = _json_attributes(_of(_of(resource_spans, "resource") or {}, "attributes"))
        scopes = _of(resource_spans, "scopeSpans") or _of(resource_spans, "instrumentationLibrarySpans") or ()
        for scope in scopes:
            for span in _of(scope, "spans") or ():
                kind = _of(span, "kind") or 0
                state = _of(_of(span, "status") or {}, "code") or 0
                yield Span(
                    trace_id=_id(_of(span, "traceId"), 16),
                    span_id=_id(_of(span, "spanId"), 8),
                    parent_id=_id(_of(span, "parentSpanId"), 8),
                    kind=_KINDS.get(kind, 0) if isinstance(kind, str) else int(kind),
                    start_ns=int(_of(span, "startTimeUnixNano") or 0),
                    end_ns=int(_of(span, "endTimeUnixNano") or 0),
                    failed=(_STATES.get(state, 0) if isinstance(state, str) else int(state)) == ERROR,
                    attributes=_json_attributes(_of(span, "attributes")),
                    resource=resource,
                    events=[
                        (str(event.get("name", "")), _json_attributes(_of(event, "attributes")))
                        for event in _of(span, "events") or ()
                    ],
                )


def _of(record: Any, name: str) -> Any:
    found = record.get(name)
    return record.get(re.sub(r"([A-Z])", lambda upper: "_" + upper[1].lower(), name)) if found is None else found


def _id(text: Any, size_bytes: int) -> str:
    if not text:
        return ""
    if len(text) == 2 * size_bytes and _HEX.fullmatch(text):
        return str(text).lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return str(text)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _MAX_DEPTH:
        return None
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    found = getattr(value, kind)
    return base64.b64encode(found).decode() if isinstance(found, bytes) else found


def _json_attributes(pairs: Any) -> dict[str, Any]:
    return {str(pair["key"]): _json_value(pair.get("value") or {}) for pair in pairs or () if "key" in pair}


def _json_value(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        return None
    for name, found in value.items():
        kind = name.replace("_", "").lower()
        if kind == "intvalue":
            return int(found)
        if kind == "arrayvalue":
            return [_json_value(item, depth + 1) for item in found.get("values") or ()]
        if kind == "kvlistvalue":
            return {
                str(pair["key"]): _json_value(pair.get("value") or {}, depth + 1) for pair in found.get("values") or ()
            }
        return found
    return None
