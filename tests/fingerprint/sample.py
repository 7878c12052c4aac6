"""Events for tests: small pools of values, so that groups, duplicates and late events do occur."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from pipeline.events.distribution import DISTRIBUTION, PHASES
from pipeline.events.schema import EVENTS

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
START_US = round(START.timestamp() * 1_000_000)


def events(columns: dict[str, Any]) -> pl.DataFrame:
    """EVENTS with the given columns; the rest is null."""
    frame = pl.DataFrame(columns)
    return frame.select(
        (pl.col(name) if name in columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in EVENTS.items()
    )


def sample(rows: int, *, seed: int = 1, accounts: int = 4, span_s: float = 200.0, nulls: float = 0.3) -> pl.DataFrame:
    """Random events over a few panes, every column of them sometimes null where it may be."""
    random = np.random.default_rng(seed)

    def maybe(values: list[Any]) -> list[Any]:
        return [None if random.random() < nulls else value for value in values]

    def pick(pool: list[Any]) -> list[Any]:
        return [pool[at] for at in random.integers(0, len(pool), rows)]

    number = random.integers(0, 5000, rows).tolist()
    return events(
        {
            "event_id": [f"e{seed}-{row}" for row in range(rows)],
            "timestamp": pl.Series(
                START_US + random.integers(0, max(round(span_s * 1e6), 1), rows), dtype=pl.Int64
            ).cast(pl.Datetime("us", "UTC")),
            "account_id": [f"acct-{at}" for at in random.integers(0, accounts, rows)],
            "model": pick(["small", "large"]),
            "api_key_id": maybe(pick(["k1", "k2", "k3"])),
            "user_id": maybe(pick(["u1", "u2"])),
            "status": maybe(pick([200, 200, 400, 429, 500])),
            "finish_reason": maybe(pick(["stop", "length"])),
            "refused": maybe(pick([True, False])),
            "latency_ms": maybe(number),
            "input_tokens": maybe(number[::-1]),
            "output_tokens": maybe(number),
            "cached_tokens": maybe(number),
            "reasoning_tokens": maybe(number),
            "max_tokens": maybe(pick([10, 4000])),
            "n": maybe(pick([1, 2])),
            "seed": maybe(pick([7])),
            "stream": maybe(pick([True, False])),
            "logprobs": maybe(pick([True, False])),
            "message_count": maybe(pick([1, 2, 3, 9])),
            "tool_count": maybe(pick([0, 3])),
            "ip": maybe([f"10.0.0.{at}" for at in random.integers(0, 250, rows)]),
            "network": maybe(pick(["10.0.0.0/24", "AS64500"])),
            "asn": maybe(pick([64500, 64501])),
            "client": maybe(pick(["curl/8", "sdk/1"])),
            "system_hash": pl.Series(maybe(pick([1, 2**64 - 1])), dtype=pl.UInt64),
            "template_hash": pl.Series(maybe(pick([5, 2**63])), dtype=pl.UInt64),
            "prompt_hash": pl.Series(maybe(random.integers(0, 2**63, rows).tolist()), dtype=pl.UInt64),
            "language": maybe(pick(["en", "zh", "Cyrl", "unheard-of"])),
            "reasoning_blobs": pl.Series(maybe(pick([[], [1], [1, 2], [3, 3]])), dtype=pl.List(pl.UInt64)),
            "fragments": pl.Series(maybe(pick([[], [7], [7, 8], [9, 10, 11]])), dtype=pl.List(pl.UInt64)),
            "request_kind": maybe(pick(["ordinary", "rubric_grading", "of-a-newer-version"])),
            "distribution": pl.Series(
                [None if random.random() < nulls else row for row in random.integers(0, 256, (rows, PHASES)).tolist()],
                dtype=DISTRIBUTION,
            ),
            "loop_out": pl.Series(maybe(pick([[], [3], [3, 2**64 - 1]])), dtype=pl.List(pl.UInt64)),
            "loop_in": pl.Series(maybe(pick([[], [3], [4, 5, 6]])), dtype=pl.List(pl.UInt64)),
            "source_format": ["native"] * rows,
        }
    )
