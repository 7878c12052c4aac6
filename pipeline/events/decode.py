"""Raw messages → events: the door of this room. Text goes in, features come out; what cannot be read says why."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from pipeline.config import Settings
from pipeline.events import native
from pipeline.events.arrow import ArrowMessageError, read_arrow
from pipeline.events.check import check
from pipeline.events.dead_letter import keep_payload
from pipeline.events.features import text_features
from pipeline.events.json_lines import parse
from pipeline.events.litellm import wire_of_litellm
from pipeline.events.messages import ITEMS, WHOLE, Refusal, Split, split
from pipeline.events.openai import wire_of_openai
from pipeline.events.origin import clients, networks
from pipeline.events.otel import genai
from pipeline.events.otel.join import join
from pipeline.events.otel.otlp import Wanted
from pipeline.events.otel.read import read_spans
from pipeline.events.otel.traces import Traces
from pipeline.events.pseudonym import pseudonymise, read_key
from pipeline.events.schema import DEAD_LETTERS, EVENTS, UTC_MICROSECONDS, Decoded
from pipeline.events.seen import Seen

# Fields that tell a format; all others of a foreign one are read once it is known.
_TELLTALES: Final = (
    "resourceSpans",
    "resource_spans",
    "startTime",
    "call_type",
    "request",
    "choices",
    "object",
    "created",
    "usage",
)
_HINTS: Final = {"native": "native", "litellm": "litellm", "openai": "openai", "otel": "otel", "otlp": "otel"}
_REFUSING: Final = ("content_filter", "refusal", "safety", "content_filtered")
_LABELS: Final = pl.Schema(
    {
        "row": pl.UInt32(),
        "item": pl.Int32(),
        "reason": pl.String(),
        "detail": pl.String(),
        "payload": pl.Binary(),
        "event_id": pl.String(),
        "source_format": pl.String(),
    }
)
# What a gateway says goes before what is counted in text.
_COUNTS: Final = ("message_count", "tool_count", "tool_call_count")
_SAYS_REFUSED: Final = pl.col("finish_reason").is_in(_REFUSING).fill_null(value=False)
_MADE: Final = {
    "refused": pl.coalesce("refused", pl.when(pl.col("finish_reason").is_not_null()).then(_SAYS_REFUSED)),
    **{name: pl.coalesce(name, f"~{name}") for name in _COUNTS},
}
_EVENT: Final = [_MADE.get(name, pl.col(name)).cast(kind) for name, kind in EVENTS.items()]
_NO_EVENTS: Final = EVENTS.to_frame()
_NO_LABELS: Final = _LABELS.to_frame()
_NONE_DEAD: Final = DEAD_LETTERS.to_frame()


class Decoder:
    """Turns batches of raw messages into events. One a process and thread: it remembers open traces."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = read_key(settings.privacy)
        self._traces = Traces(settings.otel)
        self._wanted = Wanted(genai.KEYS | self._traces.names, genai.PREFIXES)
        fields = settings.events.fields
        self._fields = None if fields is None else frozenset((*native.REQUIRED, *fields))
        names = (name for name in native.FIELDS if self._fields is None or name in self._fields)
        self._top = pl.Schema(dict.fromkeys((*names, *_TELLTALES), pl.String()))
        # Which fields there are cannot be proved where some are not to be read.
        self._seen = Seen(self._top) if self._fields is None else None

    def decode(self, raw: pl.DataFrame, *, now: datetime, hold_after: float | None = None) -> Decoded:
        """Decode a batch (RAW); raises nothing for any content of a message.

        ``now`` (aware) judges timestamps; a message received after ``hold_after`` whose trace is not complete is held.
        The result depends on the messages, ``now`` and what traces came before, not on how messages are batched.
        """
        if raw.is_empty():
            return Decoded(_NO_EVENTS, _NONE_DEAD)
        rows = raw.with_row_index("row")
        parts = split(rows, self._settings.events)
        wires, exports = self._json(rows, parts)
        wires += self._arrow(rows, parts)
        spans, unread = read_spans(
            rows[parts.protobuf].select("row", "value"),
            exports,
            self._wanted,
            self._settings.events.max_events_per_message,
        )
        joined = join(spans, rows["received_s"], self._traces, hold_after)
        held = _held(rows, joined.waiting)
        wire = _in_order([*wires, joined.wire])
        if self._fields is not None:  # of other formats all was read
            wire = native.only(wire, self._fields)
        refused = parts.refused + unread
        ignored = joined.ignored
        if held:
            kept = _not_held(rows, held)
            wire = wire.filter(pl.col("row").is_in(kept.implode()))
            passed = set(kept)
            refused = [one for one in refused if one.row in passed]
            ignored = {row: count for row, count in ignored.items() if row in passed}
        events, labels = self._judge(wire, now)
        dead = self._dead(rows, refused, labels, now)
        return Decoded(events, dead, sum(ignored.values()), held)

    def _json(self, rows: pl.DataFrame, parts: Split) -> tuple[list[pl.DataFrame], pl.DataFrame]:
        """Requests (WIRE), and exports of spans put aside (ITEMS)."""
        items = parts.items
        if items.is_empty():
            return [], items
        read = parse(items["line"], self._top, self._seen)
        for line, reason, detail in read.bad.iter_rows():
            row, item, text = items.row(line)
            parts.refused.append(Refusal(row, item, reason, detail, text.encode()))
        good = items[read.line] if len(read.line) < len(items) else items
        hint = _hints(rows["format"].gather(good["row"]))
        columns = good.hstack(read.columns).with_columns(hint.alias("hint"))
        kind = columns.select(
            pl.when(pl.col("resourceSpans").is_not_null() | pl.col("resource_spans").is_not_null())
            .then(pl.lit("otel"))
            .when(pl.col("hint").is_not_null())
            .then("hint")
            .when(pl.col("startTime").is_not_null() & pl.col("call_type").is_not_null())
            .then(pl.lit("litellm"))
            .when(
                pl.col("request").str.starts_with("{")
                | pl.col("choices").str.starts_with("[")
                | (
                    pl.col("event_id").is_null()
                    & pl.col("timestamp").is_null()
                    & pl.any_horizontal(pl.col("object", "created", "usage").is_not_null())
                )
            )
            .then(pl.lit("openai"))
            .otherwise(pl.lit("native"))
        ).to_series()
        kinds = set(kind.unique())
        if kinds == {"native"}:
            return [native.to_wire(columns, "native")], items.clear()
        found = []
        if "native" in kinds:
            found.append(native.to_wire(columns.filter(kind == "native"), "native"))
        if "litellm" in kinds:
            found.append(wire_of_litellm(columns.filter(kind == "litellm").select(ITEMS.names())))
        if "openai" in kinds:
            found.append(wire_of_openai(columns.filter(kind == "openai").select(ITEMS.names())))
        return found, columns.filter(kind == "otel").select(ITEMS.names())

    def _arrow(self, rows: pl.DataFrame, parts: Split) -> list[pl.DataFrame]:
        found = []
        most = self._settings.events.max_events_per_message
        for row in parts.arrow:
            try:
                columns = read_arrow(rows.item(row, "value"))
            except ArrowMessageError as error:
                parts.refused.append(Refusal(row, WHOLE, "invalid_arrow", str(error)))
                continue
            if columns.height > most:
                detail = f"{columns.height} events, more than {most}"
                parts.refused.append(Refusal(row, WHOLE, "too_many_events", detail))
            elif columns.is_empty():
                parts.refused.append(Refusal(row, WHOLE, "empty_message", "no native column, or no row"))
            else:
                numbered = columns.with_columns(
                    pl.lit(row, pl.UInt32).alias("row"),
                    pl.int_range(pl.len(), dtype=pl.Int32).alias("item"),
                    pl.lit(None, pl.String).alias("line"),
                )
                found.append(native.to_wire(numbered, "native"))
        return found

    def _judge(self, wire: pl.DataFrame, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Events, and the refused items labelled (_LABELS)."""
        if wire.is_empty():
            return _NO_EVENTS, _NO_LABELS
        typed, refused = check(wire, self._settings.events, now)
        features, misshapen = text_features(wire)
        network_ip, network = networks(typed["ip"], typed["asn"])
        counted = [one.alias(f"~{one.name}") if one.name in _COUNTS else one for one in features.get_columns()]
        beside = [*counted, network_ip, network.alias("network"), clients(typed).alias("client"), wire["source_format"]]
        events = typed.drop("ip").hstack(beside).select(_EVENT)
        if refused.is_empty() and misshapen.is_empty():
            return pseudonymise(events, self._settings.privacy.pseudonymise, self._key), _NO_LABELS
        refused = pl.concat([refused, misshapen]).unique("at", keep="first", maintain_order=True).sort("at")
        at = refused["at"]
        good = events.with_row_index("at").filter(~pl.col("at").is_in(at.implode())).drop("at")
        labels = _labels(wire[at], refused)
        return pseudonymise(good, self._settings.privacy.pseudonymise, self._key), labels

    def _dead(self, rows: pl.DataFrame, refused: list[Refusal], labels: pl.DataFrame, now: datetime) -> pl.DataFrame:
        if not refused and labels.is_empty():
            return _NONE_DEAD
        whole = [(one.row, one.item, one.reason, one.detail, one.payload, None, None) for one in refused]
        found = pl.concat([pl.DataFrame(whole, schema=_LABELS, orient="row"), labels])
        found = found.sort("row", "item")
        source = rows[found["row"]]
        payloads = [
            given if given is not None else value
            for given, value in zip(found["payload"], source["value"], strict=True)
        ]
        kept = [keep_payload(payload, self._settings.privacy) for payload in payloads]
        return found.select(
            source["topic"].alias("source_topic"),
            source["partition"].alias("source_partition"),
            source["offset"].alias("source_offset"),
            "item",
            pl.coalesce("source_format", pl.lit(source["format"])).alias("format"),
            "reason",
            "detail",
            pl.Series("payload", kept, dtype=pl.Binary),
            pl.Series("payload_bytes", [len(payload or b"") for payload in payloads], dtype=pl.Int64),
            "event_id",
            pl.lit(now).cast(UTC_MICROSECONDS).alias("seen_at"),
        ).cast(DEAD_LETTERS)


def _in_order(wires: list[pl.DataFrame]) -> pl.DataFrame:
    """Requests of all formats by message and item; each format's own items of a message are in order."""
    found = [wire for wire in wires if wire.height]
    if len(found) == 1 and found[0]["row"].is_sorted():
        return found[0]
    return pl.concat(found).sort("row", "item") if found else wires[-1]


def _hints(formats: pl.Series) -> pl.Series:
    """The format that a message's header names; null for one that only says JSON."""
    if formats.null_count() == len(formats):
        return formats
    lower = formats.str.to_lowercase().str.extract("(native|litellm|openai|otel|otlp)")
    return lower.replace(_HINTS)


def _held(rows: pl.DataFrame, waiting: list[int]) -> dict[tuple[str, int], int]:
    if not waiting:
        return {}
    first = rows[sorted(waiting)].group_by("topic", "partition").agg(pl.col("offset").min())
    return {(topic, partition): offset for topic, partition, offset in first.iter_rows()}


def _not_held(rows: pl.DataFrame, held: dict[tuple[str, int], int]) -> pl.Series:
    bounds = pl.DataFrame(
        [(topic, partition, offset) for (topic, partition), offset in held.items()],
        schema={"topic": pl.String, "partition": pl.Int32, "bound": pl.Int64},
        orient="row",
    )
    joined = rows.select("row", "topic", "partition", "offset").join(bounds, on=["topic", "partition"], how="left")
    return joined.filter(pl.col("bound").is_null() | (pl.col("offset") < pl.col("bound")))["row"]


def _labels(wire: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """Refused items with what is to be kept of them: the item as it came, or its fields where it was no text."""
    fields = wire.select(pl.struct(native.FIELDS).struct.json_encode()).to_series()
    return wire.select(
        "row",
        "item",
        refused["reason"],
        refused["detail"],
        pl.coalesce("line", pl.lit(fields)).cast(pl.Binary).alias("payload"),
        pl.col("event_id").str.slice(0, 256),
        "source_format",
    ).cast(_LABELS)
