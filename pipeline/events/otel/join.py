"""A batch of OTLP messages → requests with their senders; which messages must wait for the rest of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from pipeline.events.messages import Refusal
from pipeline.events.native import FIELDS, WIRE
from pipeline.events.otel.genai import as_text, is_call, native_of_span
from pipeline.events.otel.spans import Span
from pipeline.events.otel.traces import Traces


@dataclass(frozen=True, slots=True)
class Export:
    """One OTLP message: its row in the batch, when it came, which item its first span is, its spans."""

    row: int
    received_s: float
    first_item: int
    spans: Sequence[Span]


@dataclass(slots=True)
class Joined:
    """Requests (WIRE), calls of nobody, and how many spans of each row are no call. ``waiting`` are rows to be held."""

    wire: pl.DataFrame
    refused: list[Refusal] = field(default_factory=list)
    ignored: dict[int, int] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)


def join(exports: Sequence[Export], traces: Traces, hold_after: float | None) -> Joined:
    """Resolve every call of the batch against all spans of the batch and those remembered.

    A call whose account stands on none of the spans around it makes its message wait, if the message came after
    ``hold_after``; of the messages that wait, those past ``join_max_spans`` spans go on, the oldest first.
    """
    for export in exports:
        for span in export.spans:
            traces.add(span)
    records: list[dict[str, object]] = []
    joined = Joined(WIRE.to_frame())
    waiting: list[Export] = []
    for export in exports:
        unsettled = False
        for item, span in enumerate(export.spans, start=export.first_item):
            if not is_call(span):
                joined.ignored[export.row] = joined.ignored.get(export.row, 0) + 1
                continue
            facts, settled = traces.facts(span)
            unsettled |= not settled
            native = native_of_span(span, {name: as_text(value) for name, value in facts.items()})
            if "account_id" not in native:
                detail = "neither the span, its trace, baggage nor resource names an account"
                joined.refused.append(Refusal(export.row, item, "no_account", detail, as_text(native).encode()))
                continue
            native = {name: value for name, value in native.items() if name in FIELDS}
            records.append({"row": export.row, "item": item, "source_format": "otel", **native})
        if unsettled and hold_after is not None and export.received_s > hold_after:
            waiting.append(export)
    if records:
        joined.wire = pl.DataFrame(records, schema=WIRE)
    joined.waiting = _within_bound(waiting, traces.settings.join_max_spans)
    traces.forget()
    return joined


def _within_bound(waiting: list[Export], most: int) -> list[int]:
    kept = 0
    rows = []
    for export in sorted(waiting, key=lambda one: (-one.received_s, -one.row)):
        kept += len(export.spans)
        if kept > most:
            break
        rows.append(export.row)
    return rows
