"""The frames that events travel in: what a broker hands over, what an event is after decoding, what a dead letter is.

Every number that is summed later is an integer, so that sums do not depend on the order in which they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from pipeline.events.distribution import DISTRIBUTION

UTC_MICROSECONDS: Final = pl.Datetime("us", "UTC")

RAW: Final = pl.Schema(
    {
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "format": pl.String(),  # from the header `stillwatch-format` or `content-type`; null: told by content
        "value": pl.Binary(),  # null: a tombstone
        "received_s": pl.Float64(),  # monotonic time of receipt; judges how long a span has waited for its trace
    }
)

EVENTS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "timestamp": UTC_MICROSECONDS,
        "account_id": pl.String(),
        "model": pl.String(),
        "api_key_id": pl.String(),
        "user_id": pl.String(),
        "conversation_id": pl.String(),
        "provider": pl.String(),
        "operation": pl.String(),
        "endpoint": pl.String(),
        "status": pl.Int16(),
        "error_type": pl.String(),
        "finish_reason": pl.String(),
        "refused": pl.Boolean(),
        "latency_ms": pl.Int64(),
        "ttft_ms": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "cached_tokens": pl.Int64(),
        "reasoning_tokens": pl.Int64(),
        "temperature": pl.Float64(),
        "top_p": pl.Float64(),
        "max_tokens": pl.Int64(),
        "n": pl.Int32(),
        "seed": pl.Int64(),
        "stream": pl.Boolean(),
        "logprobs": pl.Boolean(),
        "reasoning_effort": pl.String(),
        "response_format": pl.String(),
        "message_count": pl.Int32(),
        "tool_count": pl.Int32(),
        "tool_call_count": pl.Int32(),
        "ip": pl.String(),  # or its pseudonym; `network` is derived first
        "network": pl.String(),  # 203.0.113.0/24, 2001:db8:1::/48, or AS64500 where only the ASN is known
        "asn": pl.Int64(),
        "country": pl.String(),
        "client": pl.String(),  # user agent, JA4 and SDK in one readable id, at most 160 characters
        # Features; null where the text did not arrive.
        "system_hash": pl.UInt64(),  # of the normalised system prompt
        "template_hash": pl.UInt64(),  # of the skeleton left when payload is masked
        "prompt_hash": pl.UInt64(),  # of the normalised last user message
        "system_chars": pl.Int32(),
        "prompt_chars": pl.Int32(),
        "response_chars": pl.Int32(),
        "language": pl.String(),  # ISO 639-1, or the ISO 15924 script where the language is not told; null: no guess
        "reasoning_blobs": pl.List(pl.UInt64),
        "source_format": pl.String(),  # native, otel, litellm, openai
        "fragments": pl.List(pl.UInt64),  # of the system prompt and the last user message; see fragments.py
        "request_kind": pl.String(),  # one of KINDS in cues.py; null: no text
        "distribution": DISTRIBUTION,  # phases of the last user message; see distribution.py
        # Of the response, and of what was sent to the model: sampled passages, null where there are none; see loops.py.
        "loop_out": pl.List(pl.UInt64),
        "loop_in": pl.List(pl.UInt64),
    }
)
DEAD_LETTERS: Final = pl.Schema(
    {
        "source_topic": pl.String(),
        "source_partition": pl.Int32(),
        "source_offset": pl.Int64(),
        "item": pl.Int32(),  # which event of the message, from 0; -1: the whole message
        "format": pl.String(),
        "reason": pl.String(),  # a Reason
        "detail": pl.String(),  # what exactly, for a person; never text of a prompt
        "payload": pl.Binary(),  # capped and, by default, without text
        "payload_bytes": pl.Int64(),  # its full size
        "event_id": pl.String(),
        "seen_at": UTC_MICROSECONDS,
    }
)

Reason = Literal[
    "empty_message",
    "invalid_json",
    "invalid_utf8",
    "invalid_protobuf",
    "invalid_arrow",
    "unknown_format",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "timestamp_unreadable",
    "timestamp_too_old",
    "timestamp_in_future",
    "no_account",
    "too_deep",
    "too_large",
    "too_many_events",
    "corrupt_batch",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one batch of raw messages became. Every item of every message that is not held is in exactly one of the two.

    ``events`` has the columns of EVENTS; ``dead`` those of DEAD_LETTERS. ``ignored`` counts what is no request at all
    (spans of a trace that are not GenAI calls): neither an event nor an error. ``held`` names, by (topic, partition),
    the offset of the first message that still waits for the rest of its trace: it and all behind it are in neither,
    and are to be handed in again, with what has come since.
    """

    events: pl.DataFrame
    dead: pl.DataFrame
    ignored: int = 0
    held: Mapping[tuple[str, int], int] = field(default_factory=dict)
