"""OTLP protobuf → Export, in bulk: the wire format into Arrow columns, without an object a span.

The messages are declared here and not taken from opentelemetry-proto: with text as bytes, so that one attribute cut in
the middle of a letter (as length limits of SDKs do) does not spoil a message of a thousand spans; and without the
recursion of AnyValue, for which Arrow has no type. What is not declared is passed over by the reader.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import polars as pl
import ptars
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from pipeline.events.otel.otlp import ATTRIBUTES, EVENT_ATTRIBUTES, SPANS, Export, Wanted, as_json, by_value, exploded

_SERVER: Final = 2
_ERROR: Final = 2
_BYTES, _BOOL = FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_BOOL
_INT32, _INT64 = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_INT64
_DOUBLE, _FIXED64 = FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FIXED64

# message: (field, its number, its type); a message's name is a field of that message, in brackets a list of them.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, Any], ...]]] = {
    "Value": (
        ("string", 1, _BYTES), ("bool", 2, _BOOL), ("int", 3, _INT64), ("double", 4, _DOUBLE), ("array", 5, _BYTES),
        ("kvlist", 6, _BYTES), ("bytes", 7, _BYTES),
    ),
    "Pair": (("key", 1, _BYTES), ("value", 2, "Value")),
    "Resource": (("attributes", 1, "[Pair]"),),
    "Event": (("name", 2, _BYTES), ("attributes", 3, "[Pair]")),
    "Status": (("code", 3, _INT32),),
    "Span": (
        ("trace_id", 1, _BYTES), ("span_id", 2, _BYTES), ("parent_id", 4, _BYTES), ("kind", 6, _INT32),
        ("start", 7, _FIXED64), ("end", 8, _FIXED64), ("attributes", 9, "[Pair]"), ("events", 11, "[Event]"),
        ("status", 15, "Status"),
    ),
    "ScopeSpans": (("spans", 2, "[Span]"),),
    "ResourceSpans": (("about", 1, "Resource"), ("scopes", 2, "[ScopeSpans]")),
    "Traces": (("resources", 1, "[ResourceSpans]"),),
}  # fmt: skip


def _declared() -> Any:
    file = FileDescriptorProto(name="stillwatch/otlp.proto", package="stillwatch", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Value":
            message.oneof_decl.add(name="value")  # tells a zero or an empty text from none
        for field, number, kind in fields:
            made = message.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if isinstance(kind, str):
                made.type = FieldDescriptorProto.TYPE_MESSAGE
                made.type_name = f".stillwatch.{kind.strip('[]')}"
                if kind.startswith("["):
                    made.label = FieldDescriptorProto.LABEL_REPEATED
            else:
                made.type = kind
            if name == "Value":
                made.oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("stillwatch.Traces")


_TRACES: Final = _declared()
_Traces: Final = GetMessageClass(_TRACES)
_READER: Final = ptars.HandlerPool(
    [_TRACES.file], ptars.PtarsConfig(use_large_list=True, use_large_binary=True)
).get_for_message(_TRACES)


def count_spans(value: bytes) -> int | None:
    """How many spans an ExportTraceServiceRequest or TracesData (the same on the wire) holds; None of other bytes.

    The bulk reader panics on some damaged bytes, so protobuf's own parser looks first.
    """
    try:
        traces: Any = _Traces.FromString(value)
    except DecodeError:
        return None
    return sum(len(scope.spans) for resource in traces.resources for scope in resource.scopes)


def read_protobuf(messages: pl.DataFrame, wanted: Wanted) -> Export:
    """Messages (``row``, ``value``) that ``count_spans`` took → their spans."""
    read = pl.DataFrame(pl.from_arrow(_READER.list_to_record_batch(messages["value"].to_list())))
    resources = exploded(read.with_columns(messages["row"]), "resources").with_row_index("resource")
    spans = exploded(exploded(resources.select("row", "resource", "scopes"), "scopes"), "spans").with_row_index("at")
    about = resources.select(pl.col("resource").alias("at"), pl.col("about").struct.field("attributes"))
    events = exploded(spans.select("at", "events"), "events").with_row_index("event")
    events = events.with_columns(_utf8(events["name"]))
    return Export(
        spans.select(
            "row",
            pl.int_range(pl.len()).over("row").alias("item"),
            "resource",
            *(pl.col(name).bin.encode("hex").alias(name) for name in ("trace_id", "span_id", "parent_id")),
            (pl.col("kind") == _SERVER).alias("is_server"),
            (pl.col("status").struct.field("code") == _ERROR).fill_null(value=False).alias("failed"),
            *(pl.when(pl.col(name) > 0).then(name).cast(pl.String).alias(name) for name in ("start", "end")),
        ).cast(SPANS),
        _pairs(spans.select("at", "attributes"), wanted).cast(ATTRIBUTES),
        _pairs(about, wanted).cast(ATTRIBUTES),
        _pairs(events, wanted).select(EVENT_ATTRIBUTES.names()).cast(EVENT_ATTRIBUTES),
    )


def _pairs(owners: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    """The attributes that are wanted, a row each, values as text."""
    pairs = exploded(owners, "attributes")
    keys = _utf8(pairs["key"])
    pairs = pairs.with_columns(keys).filter(wanted.mask(keys)).unnest("value")
    text = pl.coalesce(
        _utf8(pairs["string"]),
        *(pl.col(name).cast(pl.String) for name in ("int", "double", "bool")),
        by_value(pairs["array"], _array),
        by_value(pairs["kvlist"], _kvlist),
        pl.col("bytes").bin.encode("base64"),
    )
    return pairs.select(*(name for name in owners.columns if name != "attributes"), "key", text.alias("text"))


def _utf8(column: pl.Series) -> pl.Series:
    """As text. Bytes that are none stand as ``\\xff``: two damaged ids stay two."""
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:  # it does not say which
        texts = [value if value is None else value.decode(errors="backslashreplace") for value in column]
        return pl.Series(column.name, texts, dtype=pl.String)


def _array(value: bytes) -> str | None:
    return _structured(ArrayValue, value, "array_value")


def _kvlist(value: bytes) -> str | None:
    return _structured(KeyValueList, value, "kvlist_value")


def _structured(kind: Any, value: bytes, name: str) -> str | None:
    """JSON of a list or map; null of one that is nested deeper than protobuf reads, or whose text is no UTF-8."""
    try:
        return as_json(_plain(AnyValue(**{name: kind.FromString(value)})))
    except DecodeError:
        return None


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    found = getattr(value, kind)
    return base64.b64encode(found).decode() if isinstance(found, bytes) else found
