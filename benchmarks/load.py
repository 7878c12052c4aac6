"""The load of the benchmark: metadata-only events of about 480 bytes, as a gateway sends them without text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

KEYS = 20_000


def load(
    events: int, *, first: int = 0, chunk: int = 100_000, span: timedelta = timedelta(minutes=10)
) -> Iterator[list[bytes]]:
    """Yield ``events`` events as JSON messages, in chunks: keys by Zipf, times that end now and cover ``span``.

    They are numbered from ``first`` on: two loads with different numbers share no event id.
    """
    start = datetime.now(UTC) - span
    step_us = span.total_seconds() * 1e6 / events
    source = np.random.default_rng(first)
    for done in range(0, events, chunk):
        number = np.arange(done, min(done + chunk, events))
        key = (source.zipf(1.2, len(number)) - 1) % KEYS
        yield messages(number + first, key, start, (number * step_us).astype(np.int64), source)


def messages(
    number: npt.NDArray[np.int64],
    key: npt.NDArray[np.int64],
    start: datetime,
    after_us: npt.NDArray[np.int64],
    source: np.random.Generator,
) -> list[bytes]:
    """One JSON event a number: of account ``key``, at ``start`` and so many µs; sizes and addresses from ``source``."""
    frame = pl.DataFrame(
        {"number": number, "key": key, "after": after_us, "random": source.integers(0, 1 << 30, len(number))}
    )
    when = pl.lit(start) + pl.duration(microseconds="after")
    padded = pl.col("key").cast(pl.String).str.zfill(8)
    events = frame.select(
        event_id=pl.format("req_01hx7k3b9m{}", pl.col("number").cast(pl.String).str.zfill(12)),
        timestamp=when.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        account_id=pl.format("acct_{}", padded),
        api_key_id=pl.format("key_{}", padded),
        model=pl.lit("model-large-2026-09"),
        operation=pl.lit("chat"),
        endpoint=pl.lit("/v1/chat/completions"),
        status=pl.lit(200),
        finish_reason=pl.lit("stop"),
        latency_ms=pl.col("random") % 9000,
        ttft_ms=pl.col("random") % 800,
        input_tokens=pl.col("random") % 4000,
        output_tokens=pl.col("random") % 1100,
        cached_tokens=pl.lit(0),
        temperature=pl.lit(0.7),
        max_tokens=pl.lit(4096),
        stream=pl.lit(value=True),
        message_count=pl.col("random") % 9 + 1,
        ip=pl.format("10.{}.{}.{}", pl.col("key") % 250, pl.col("key") // 250 % 250, pl.col("random") % 4),
        user_agent=pl.lit("openai-python/1.99.1"),
    )
    return [line.encode() for line in events.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()]
