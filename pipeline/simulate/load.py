"""Metadata-only traffic for benchmarks: keys by Zipf, events of about 480 bytes as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.frame import MODELS
from pipeline.simulate.population import CLIENTS, make_group
from pipeline.simulate.seeds import hex_ids

EVENTS_PER_S: Final = 1000
ZIPF: Final = 1.1


def load_events(
    rng: np.random.Generator, accounts: int, duration_s: float, rate: float, start: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events in time order and the facts of their accounts; ``rate`` times 1,000 events a second."""
    count = max(1, int(duration_s * EVENTS_PER_S * rate))
    group = make_group(rng, accounts, start)
    weights = 1 / np.arange(1, accounts + 1) ** ZIPF
    who = pl.Series(rng.choice(accounts, count, p=weights / weights.sum()))
    micros = np.sort(rng.integers(0, int(duration_s * 1e6), count))
    output = np.clip(rng.lognormal(5.0, 0.85, count), 1, 4000).astype(np.int64)
    client = pl.Series(group.client)[who]
    frame = pl.DataFrame(
        {
            "event_id": hex_ids(rng, count, "req_", 20),
            "timestamp": pl.Series(micros).cast(pl.Duration("us")),
            "account_id": pl.Series(group.accounts)[who],
            "model": pl.Series(MODELS)[rng.integers(0, len(MODELS), count)],
            "api_key_id": pl.Series(group.keys)[who],
            "status": np.where(rng.random(count) < 0.01, 429, 200),
            "latency_ms": output * 14 + 200,
            "ttft_ms": rng.integers(90, 900, count),
            "input_tokens": np.clip(rng.lognormal(6.6, 1.0, count), 2, 14_000).astype(np.int64),
            "output_tokens": output,
            "stream": rng.random(count) < 0.6,
            "message_count": rng.integers(1, 12, count),
            "asn": pl.Series([7922, 701, 3320, 3215, 4134])[pl.Series(group.network % 5)[who]],
            "ip": pl.Series([f"10.{i >> 8 & 255}.{i & 255}.9" for i in range(accounts)])[who],
            "user_agent": pl.Series([one[0] for one in CLIENTS])[client],
            "ja4": pl.Series([one[1] for one in CLIENTS])[client],
            "sdk": pl.Series([one[2] for one in CLIENTS])[client],
        }
    )
    return frame.with_columns(timestamp=pl.lit(start) + pl.col("timestamp")), group.facts
