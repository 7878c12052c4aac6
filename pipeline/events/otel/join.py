"""A batch of spans → requests with their senders; which messages must wait for the rest of a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipeline.events.native import WIRE, to_wire
from pipeline.events.otel.genai import native_of_spans
from pipeline.events.otel.otlp import Export
from pipeline.events.otel.traces import Traces

_NO_REQUESTS: Final = WIRE.to_frame()


@dataclass(frozen=True, slots=True)
class Joined:
    """Requests (WIRE), and how many spans of each row are no call. ``waiting`` are rows to be held."""

    wire: pl.DataFrame
    ignored: dict[int, int] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)


def join(export: Export, received_s: pl.Series, traces: Traces, hold_after: float | None) -> Joined:
    """Resolve every call of the batch against all spans of the batch and those remembered.

    ``received_s`` is of each row of the batch. A call whose account stands on none of the spans around it makes its
    message wait, if the message came after ``hold_after``; of the messages that wait, those past ``join_max_spans``
    spans go on, the oldest first.
    """
    if export.spans.is_empty():
        return Joined(_NO_REQUESTS)
    links = traces.add(export)
    native = native_of_spans(export)
    calls = native["is_call"]
    facts = traces.facts(links.filter(calls))
    traces.forget()
    items = export.spans.select("row", "item").with_columns(pl.lit(None, pl.String).alias("line"))
    requests = items.filter(calls).hstack(native.filter(calls).drop("is_call")).hstack(facts)
    ignored = items.filter(~calls)["row"].value_counts()
    return Joined(
        to_wire(requests, "otel"),
        dict(ignored.iter_rows()),
        [] if hold_after is None else _waiting(export.spans, requests, received_s, hold_after, traces.most),
    )


def _waiting(
    spans: pl.DataFrame, requests: pl.DataFrame, received_s: pl.Series, hold_after: float, most: int
) -> list[int]:
    rows = requests.filter(~pl.col("settled")).select(pl.col("row").unique())
    sizes = rows.join(spans.group_by("row").len(), on="row").with_columns(
        pl.lit(received_s.fill_null(0.0)).gather(pl.col("row")).alias("received_s")
    )
    late = sizes.filter(pl.col("received_s") > hold_after).sort("received_s", "row", descending=True)
    return late.filter(pl.col("len").cum_sum() <= most)["row"].to_list()
