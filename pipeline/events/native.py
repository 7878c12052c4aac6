"""The native format, version 1: its fields, as text, before any check. Every other format is mapped to these first."""

from __future__ import annotations

from typing import Final

import polars as pl

IDS: Final = ("event_id", "account_id", "model", "api_key_id", "user_id", "conversation_id")
WORDS: Final = (
    "provider",
    "operation",
    "endpoint",
    "error_type",
    "finish_reason",
    "reasoning_effort",
    "response_format",
    "country",
    "user_agent",
    "ja4",
    "sdk",
    "ip",
)
WHOLE: Final = (
    "status",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "max_tokens",
    "n",
    "seed",
    "message_count",
    "tool_count",
    "tool_call_count",
    "asn",
)
DURATIONS: Final = ("latency_ms", "ttft_ms")
FRACTIONS: Final = ("temperature", "top_p")
FLAGS: Final = ("refused", "stream", "logprobs")
TEXTS: Final = ("system", "messages", "prompt", "response")
OTHERS: Final = ("tools", "reasoning_blobs", "content")
FIELDS: Final = ("timestamp", *IDS, *WORDS, *WHOLE, *DURATIONS, *FRACTIONS, *FLAGS, *TEXTS, *OTHERS)

# Without these there is no event; the first that is missing is the one that is told.
REQUIRED: Final = ("event_id", "account_id", "model", "timestamp")

# A frame of requests before checking: which message and which item of it, the format, the item as it came (null for
# what is no text), then the native fields.
ITEM: Final = pl.Schema({"row": pl.UInt32, "item": pl.Int32, "line": pl.String, "source_format": pl.String})
NATIVE: Final = pl.Schema(dict.fromkeys(FIELDS, pl.String))
WIRE: Final = pl.Schema({**ITEM, **NATIVE})


def to_wire(columns: pl.DataFrame, source_format: str) -> pl.DataFrame:
    """Native columns with ``row``, ``item`` and ``line`` beside them → WIRE; what is not there is null."""
    have = set(columns.columns)
    return columns.select(
        "row",
        "item",
        "line",
        pl.lit(source_format).alias("source_format"),
        *(pl.col(name) if name in have else pl.lit(None, pl.String).alias(name) for name in FIELDS),
    )


def only(wire: pl.DataFrame, fields: frozenset[str]) -> pl.DataFrame:
    """WIRE without what is not one of ``fields``; the line that it came in stays, for whom it is refused."""
    return wire.with_columns(pl.lit(None, pl.String).alias(name) for name in FIELDS if name not in fields)
