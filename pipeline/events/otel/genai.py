"""GenAI spans → native fields, by current and by older attribute names, in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from pipeline.events.otel.otlp import Export

# Work around a model call, not a call: the call has a span of its own inside.
_NO_CALL: Final = ("execute_tool", "create_agent", "invoke_agent", "invoke_workflow", "retrieval")
# Field → attributes, the first that is there.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("gen_ai.request.model", "gen_ai.response.model", "llm.request.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "operation_name": ("gen_ai.operation.name",),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "error_type": ("error.type",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cached_tokens",
    ),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "n": ("gen_ai.request.choice.count",),
    "seed": ("gen_ai.request.seed", "gen_ai.openai.request.seed"),
    "stream": ("gen_ai.request.stream", "gen_ai.request.is_stream", "llm.is_streaming"),
    "reasoning_effort": ("gen_ai.request.reasoning_effort", "gen_ai.openai.request.reasoning_effort"),
    "response_format": ("gen_ai.output.type", "gen_ai.openai.request.response_format"),
    "sdk": ("gen_ai.client.sdk",),
    "finish_reason": (
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "gen_ai.completion.0.finish_reason",
    ),
    "system": ("gen_ai.system_instructions",),
    "messages": ("gen_ai.input.messages",),
    "prompt": ("gen_ai.prompt",),
    "response": ("gen_ai.output.messages", "gen_ai.completion"),
    "tools": ("gen_ai.tool.definitions",),
    "first_chunk_s": ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"),
}  # fmt: skip
# Content that stands on span events, one message each; or the attributes of the whole call, on one event.
BODIES: Final = ("content", "message", "gen_ai.event.content")
PREFIXES: Final = ("gen_ai.prompt.", "gen_ai.completion.")
KEYS: Final = frozenset((*BODIES, "tool_calls")).union(*NAMES.values())
_NUMBERED: Final = r"^gen_ai\.(prompt|completion)\.(\d+)\.(role|content)$"
_SPOKEN: Final = r"^gen_ai\.(system|user|assistant|tool)\.message$"
_WHOLE: Final = r"^gen_ai\.content\.|^gen_ai\.client\.inference\.operation\.details$"
_RULES: Final = pl.DataFrame(
    [(name, field, rank) for field, names in NAMES.items() for rank, name in enumerate(names)],
    schema={"key": pl.String, "field": pl.String, "rank": pl.Int64},
    orient="row",
)


def spread(told: pl.DataFrame, rules: pl.DataFrame, count: int) -> pl.DataFrame:
    """Attributes (``at``, ``key``, ``text``) → a column for each field of ``rules`` (``key``, ``field``, ``rank``), a
    row for each of the ``count`` owners: the text of the first name by rank that is there and not empty.
    """
    found = told.filter(pl.col("text") != "").join(rules, on="key", maintain_order="left")
    fields = rules["field"].unique(maintain_order=True)
    nothing = pl.Series("", [None], dtype=pl.String).new_from_index(0, count)
    columns = dict.fromkeys(fields, nothing)
    for (field,), part in found.sort("rank", maintain_order=True).partition_by("field", as_dict=True).items():
        first = part.unique("at", keep="first", maintain_order=True)
        columns[str(field)] = nothing.clone().scatter(first["at"], first["text"])
    return pl.DataFrame(columns)


def native_of_spans(export: Export) -> pl.DataFrame:
    """Native fields as text, a row for each span; and ``is_call``: whether it is one call of a model. Everything else
    in a trace only tells about calls. The event id is trace and span id: an exporter's retry repeats both.
    """
    spans = export.spans
    whole = export.events.filter(pl.col("name").str.contains(_WHOLE)).select("at", "key", "text")
    # The span's own attributes come before those of its events.
    told = spread(pl.concat([export.attributes, whole]), _RULES, spans.height)
    texts = _written(export, spans.height)
    start, end = (spans[name].cast(pl.Int64, strict=False) for name in ("start", "end"))
    first_s = pl.col("first_chunk_s").cast(pl.Float64, strict=False)
    return told.hstack(texts).select(
        pl.when((pl.lit(spans["trace_id"]) != "") & (pl.lit(spans["span_id"]) != ""))
        .then(pl.format("{}/{}", pl.lit(spans["trace_id"]), pl.lit(spans["span_id"])))
        .alias("event_id"),
        pl.lit(spans["start"]).alias("timestamp"),
        pl.when(pl.lit(end) >= pl.lit(start))
        .then(((pl.lit(end) - pl.lit(start)) / 1e6).cast(pl.String))
        .alias("latency_ms"),
        # What is no number stays, for the checks to refuse.
        pl.coalesce((first_s * 1000).cast(pl.String), "first_chunk_s").alias("ttft_ms"),
        pl.when(pl.col("finish_reason").str.starts_with("["))
        .then(pl.col("finish_reason").str.json_path_match("$[0]"))
        .otherwise("finish_reason")
        .alias("finish_reason"),
        pl.coalesce("error_type", pl.when(pl.lit(spans["failed"])).then(pl.lit("error"))).alias("error_type"),
        pl.coalesce("messages", "asked").alias("messages"),
        pl.coalesce("response", "answered").alias("response"),
        *(name for name in NAMES if name not in _MADE),
        _is_call().alias("is_call"),
    )


_MADE: Final = ("operation_name", "first_chunk_s", "finish_reason", "error_type", "messages", "response")


def _is_call() -> pl.Expr:
    named = pl.col("model").is_not_null() | pl.col("operation_name").is_not_null()
    told = pl.col("provider").is_not_null() | pl.col("operation").is_not_null()
    return named & told & ~pl.col("operation").is_in(_NO_CALL).fill_null(value=False)


def _written(export: Export, count: int) -> pl.DataFrame:
    """Messages in older notations, as JSON: one attribute for each role and content, or one span event each."""
    nothing = pl.Series("", [None], dtype=pl.String).new_from_index(0, count)
    columns = {"asked": nothing, "answered": nothing}
    key = pl.col("key")
    numbered = (
        export.attributes.filter(key.str.contains(_NUMBERED))
        .select(
            "at",
            key.str.extract(_NUMBERED, 1).replace({"prompt": "asked", "completion": "answered"}).alias("what"),
            key.str.extract(_NUMBERED, 2).cast(pl.UInt64, strict=False).alias("number"),
            pl.when(key.str.ends_with("role")).then("text").alias("role"),
            pl.when(key.str.ends_with("content")).then("text").alias("content"),
        )
        .group_by("at", "what", "number", maintain_order=True)
        .agg(pl.col("role", "content").drop_nulls().first())
    )
    body = export.events.filter(key.is_in(BODIES)).with_columns(
        key.replace_strict(BODIES, range(len(BODIES)), return_dtype=pl.Int64).alias("rank")
    )
    bodies = body.sort("rank", maintain_order=True).unique("event", keep="first", maintain_order=True)
    said = export.events.filter(pl.col("name").str.contains(_SPOKEN)).unique("event", keep="first", maintain_order=True)
    # A message of nothing but tool calls is one too.
    spoken = (
        said.drop("text")
        .join(bodies.select("event", "text"), on="event", how="left")
        .select(
            "at",
            pl.lit("asked").alias("what"),
            pl.col("event").cast(pl.UInt64).alias("number"),
            pl.col("name").str.extract(_SPOKEN).alias("role"),
            pl.col("text").alias("content"),
        )
    )
    chosen = bodies.filter(pl.col("name") == "gen_ai.choice").sort("event").unique("at", keep="first")
    if not chosen.is_empty():
        columns["answered"] = nothing.clone().scatter(chosen["at"], chosen["text"])
    for messages in (spoken, numbered):  # where both are there, those with numbers
        listed = (
            messages.sort("at", "number", maintain_order=True)
            .with_columns(pl.struct("role", "content").struct.json_encode().alias("message"))
            .group_by("at", "what", maintain_order=True)
            .agg(pl.col("message"))
            .with_columns(pl.format("[{}]", pl.col("message").list.join(",")).alias("text"))
        )
        for (what,), part in listed.partition_by("what", as_dict=True).items():
            columns[str(what)] = columns[str(what)].clone().scatter(part["at"], part["text"])
    return pl.DataFrame(columns)
