"""Native events as a frame: the columns, and what follows from a request's size (latency, first token, outcome)."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.simulate.timing import Floats, Ints

NATIVE: Final = pl.Schema(
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
        "status": pl.Int64(),
        "error_type": pl.String(),
        "finish_reason": pl.String(),
        "latency_ms": pl.Int64(),
        "ttft_ms": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "cached_tokens": pl.Int64(),
        "temperature": pl.Float64(),
        "max_tokens": pl.Int64(),
        "stream": pl.Boolean(),
        "message_count": pl.Int64(),
        "tool_count": pl.Int64(),
        "ip": pl.String(),
        "asn": pl.Int64(),
        "country": pl.String(),
        "user_agent": pl.String(),
        "ja4": pl.String(),
        "sdk": pl.String(),
        "system": pl.String(),
        "prompt": pl.String(),
        "response": pl.String(),
    }
)
CHARS_PER_TOKEN: Final = 4
MODELS: Final = ("aurora-4-large", "aurora-4-mini", "aurora-3.5", "borealis-2-code")


def latencies(rng: np.random.Generator, input_tokens: Ints, output_tokens: Ints) -> tuple[Ints, Ints]:
    """Whole and first-token latency in ms: prefill grows with the input, decoding runs at 45 to 110 tokens a second."""
    ttft = 120 + input_tokens * 0.06 + rng.gamma(2.0, 60.0, len(input_tokens))
    whole = ttft + output_tokens / rng.uniform(45, 110, len(output_tokens)) * 1000
    return whole.astype(np.int64), ttft.astype(np.int64)


def outcomes(rng: np.random.Generator, count: int) -> tuple[Ints, Floats]:
    """HTTP status of each request (1 % 429, 0.4 % 500, 0.6 % 400) and a uniform draw to split successes by."""
    draw = rng.random(count)
    status = np.select([draw < 0.01, draw < 0.014, draw < 0.02], [429, 500, 400], 200)
    return status.astype(np.int64), rng.random(count)


def with_outcome(frame: pl.DataFrame, status: Ints, split: Floats) -> pl.DataFrame:
    """Set status and what follows from it: a failed request has an error, no output and a short latency."""
    code = pl.col("status")
    ok = code == 200
    return (
        frame.with_columns(pl.Series("status", status), pl.Series("_split", split))
        .with_columns(
            error_type=pl.when(code == 429)
            .then(pl.lit("rate_limit_exceeded"))
            .when(code == 500)
            .then(pl.lit("server_error"))
            .when(code == 400)
            .then(pl.lit("invalid_request_error")),
            finish_reason=pl.when(ok).then(
                pl.when(pl.col("_split") < 0.04).then(pl.lit("length")).otherwise(pl.lit("stop"))
            ),
            output_tokens=pl.when(ok).then("output_tokens").otherwise(0),
            latency_ms=pl.when(ok).then("latency_ms").otherwise(40 + (pl.col("_split") * 80).cast(pl.Int64)),
            ttft_ms=pl.when(ok & pl.col("stream")).then("ttft_ms"),
            response=pl.when(ok).then("response"),
        )
        .drop("_split")
    )
