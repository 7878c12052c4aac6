"""OTLP messages of a batch, protobuf and JSON → one Export; what is none, or holds no span, says so."""

from __future__ import annotations

import polars as pl

from pipeline.events.messages import WHOLE, Refusal
from pipeline.events.otel.otlp import NO_SPANS, Export, Wanted, joined
from pipeline.events.otel.otlp_json import OtlpError, flatten, parse_export, span_count
from pipeline.events.otel.protobuf import count_spans, read_protobuf


def read_spans(protobuf: pl.DataFrame, lines: pl.DataFrame, wanted: Wanted, most: int) -> tuple[Export, list[Refusal]]:
    """Messages in protobuf (``row``, ``value``) and lines of JSON (ITEMS) → their spans, at most ``most`` of each."""
    refused: list[Refusal] = []
    if protobuf.is_empty() and lines.is_empty():
        return NO_SPANS, refused
    good = []
    for row, value in protobuf.iter_rows():  # messages, not spans
        count = count_spans(value)
        if count is None:
            refused.append(Refusal(row, WHOLE, "invalid_protobuf", "no OTLP traces"))
        elif fault := _counted(row, WHOLE, count, most):
            refused.append(fault)
        else:
            good.append(row)
    exports = [read_protobuf(protobuf.filter(pl.col("row").is_in(good)), wanted)] if good else []
    parsed = []
    for row, item, line in lines.sort("row", "item").iter_rows():
        try:
            export = parse_export(line)
        except OtlpError as error:
            refused.append(Refusal(row, item, error.reason, error.detail, line.encode()))
            continue
        if export.resource_spans is None:
            detail = "the header says OTLP, but there is no resourceSpans in it"
            refused.append(Refusal(row, item, "unknown_format", detail, line.encode()))
        elif fault := _counted(row, item, span_count(export), most):
            refused.append(fault)
        else:
            parsed.append((row, export))
    if parsed:
        exports.append(flatten(parsed, wanted))
    return joined(exports) if exports else NO_SPANS, refused


def _counted(row: int, item: int, count: int, most: int) -> Refusal | None:
    if not count:
        return Refusal(row, item, "empty_message", "no span in it")
    return Refusal(row, item, "too_many_events", f"{count} spans, more than {most}") if count > most else None
