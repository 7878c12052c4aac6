"""What the worker's own work costs, without a broker: aggregation, and all that a partition does with its batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from pipeline.clock import SystemClock
from pipeline.config import WorkerSettings
from pipeline.events.batch import decode_events, encode_events, stack
from pipeline.events.schema import EVENTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.codec import encode_delta
from pipeline.fingerprint.partition import PartitionState


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure."""

    what: str
    events_per_s: float
    cpu_s_per_million: float


def metadata_events(rows: int, *, seed: int = 1, accounts: int = 20_000, span_s: float = 2.0) -> pl.DataFrame:
    """Events as a gateway sends them without text: account, key, model, network, client, tokens, latency."""
    random = np.random.default_rng(seed)
    account = (random.zipf(1.3, rows) - 1) % accounts
    start_us = round(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp() * 1e6)
    offsets = np.sort(random.integers(0, round(span_s * 1e6), rows)) + seed * round(span_s * 1e6)
    numbers: dict[str, Any] = {
        "row": np.arange(rows),
        "account": account,
        "ip": random.integers(0, 60_000, rows),
        "network": account % 900,
        "client": account % 25,
    }
    columns: dict[str, Any] = {
        "event_id": pl.format("evt-{}-{}", pl.lit(seed), "row"),
        "account_id": pl.format("acct-{}", "account"),
        "api_key_id": pl.format("key-{}-{}", "account", pl.col("row") % 2),
        "ip": pl.format("10.{}.{}.7", pl.col("ip") // 250, pl.col("ip") % 250),
        "network": pl.format("10.{}.{}.0/24", pl.col("network") // 250, pl.col("network") % 250),
        "client": pl.format("sdk/{}", "client"),
        "model": pl.format("model-{}", pl.col("row") % 4),
        "source_format": pl.lit("native"),
        "timestamp": pl.Series(start_us + offsets).cast(pl.Datetime("us", "UTC")),
        "status": pl.Series(random.choice([200, 200, 200, 200, 429], rows)),
        "latency_ms": pl.Series(random.integers(80, 9_000, rows)),
        "input_tokens": pl.Series(random.integers(5, 6_000, rows)),
        "output_tokens": pl.Series(random.integers(1, 3_000, rows)),
        "stream": pl.Series(random.random(rows) < 0.6),
        "message_count": pl.Series(random.integers(1, 12, rows)),
    }
    return pl.DataFrame(numbers).select(
        columns.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in EVENTS.items()
    )


def measure(what: str, events: int, work: Callable[[], object]) -> Measured:
    """Run once and take wall and CPU time of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return Measured(what, events / wall_s, cpu_s / events * 1e6)


def run(*, batches: int = 60, batch_events: int = 5_000, emit_events: int = 100_000) -> list[Measured]:
    """Aggregation alone; then a partition: decode, de-duplicate, watermark, aggregate, encode the delta."""
    values = [encode_events(metadata_events(batch_events, seed=seed)) for seed in range(batches)]
    whole = stack([decode_events(value) for value in values[: max(emit_events // batch_events, 1)]])
    aggregate(whole.head(1_000))  # imports and thread pools

    def partition() -> None:
        state = PartitionState(0, 0, WorkerSettings(emit_events=emit_events), SystemClock())
        for offset, value in enumerate(values):
            state.add(offset, decode_events(value))
            if state.full or offset + 1 == batches:
                delta = state.emit(generation=1, committed=0)
                assert delta is not None
                encode_delta(delta)

    return [
        measure("aggregate", whole.height, lambda: aggregate(whole)),
        measure("partition: decode to encoded delta", batches * batch_events, partition),
    ]


if __name__ == "__main__":
    for figure in run():
        print(f"{figure.what}: {figure.events_per_s:,.0f} events/s, {figure.cpu_s_per_million:.2f} CPU-s per million")
