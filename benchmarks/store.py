"""What the store costs: applying deltas, folding them away, and the memory and file of many active accounts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from benchmarks.worker import metadata_events
from pipeline.clock import SystemClock
from pipeline.config import StoreSettings
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import Delta
from pipeline.store import Store, apply_deltas
from pipeline.store.query import run_query
from pipeline.store.upkeep import Upkeep

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoreMeasured:
    """Figures of one run. Rows are those of deltas: panes, links, distributions and passages."""

    accounts: int
    events: int
    rows: int
    apply_rows_per_s: float
    apply_events_per_s: float
    apply_p99_ms: float
    fold_rows_per_s: float
    longest_upkeep_ms: float
    cpu_s_per_million_events: float
    rss_mb: float
    file_mb: float
    hour_of_one_account_ms: float
    busiest_ms: float


def deltas(minutes: int, *, accounts: int, events_per_s: int, partitions: int, seed: int = 1) -> Iterator[list[Delta]]:
    """A delta a second of event time and partition; accounts equally active, so that their number is what is told."""
    random = np.random.default_rng(seed)
    committed = 0
    for second in range(minutes * 60):
        count = events_per_s // partitions
        batch = []
        for partition in range(partitions):
            account = random.integers(0, accounts // partitions, count) * partitions + partition
            names = pl.Series(account).cast(pl.String)
            events = metadata_events(count, seed=second * partitions + partition + 1, span_s=1.0).with_columns(
                account_id=pl.lit("acct-") + names,
                api_key_id=pl.lit("key-") + names,
                network=pl.lit("10.0.") + pl.Series(account % 9_000).cast(pl.String),
                client=pl.lit("sdk/") + pl.Series(account % 25).cast(pl.String),
                timestamp=pl.Series(random.integers(0, 1_000_000, count)).cast(pl.Duration("us"))
                + pl.lit(START + timedelta(seconds=second)),
            )
            panes, links = aggregate(events)
            batch.append(
                Delta(
                    partition=partition,
                    generation=1,
                    from_offset=second,
                    to_offset=second + 1,
                    committed=committed,
                    watermark=START + timedelta(seconds=second - 9),
                    idle=False,
                    emitted_at=START,
                    events=count,
                    duplicates=0,
                    late=0,
                    panes=panes,
                    links=links,
                    distributions=distributions(events),
                    loops=loops(events),
                )
            )
        committed = second
        yield batch


def run(*, minutes: int = 3, accounts: int = 100_000, events_per_s: int = 10_000, partitions: int = 4) -> StoreMeasured:
    """Apply a second of all partitions a transaction, with upkeep between, as fast as it goes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bench.duckdb"
        settings = StoreSettings(fold_every_s=0.001)  # event time runs faster than the clock here
        with Store.open(path, settings, clock=SystemClock()) as store:
            return _run(store, deltas(minutes, accounts=accounts, events_per_s=events_per_s, partitions=partitions))


def _run(store: Store, seconds: Iterator[list[Delta]]) -> StoreMeasured:
    upkeep = Upkeep(store)
    applying: list[float] = []
    upkeeping: list[float] = []
    events = rows = folded = 0
    cpu_s = 0.0
    names: set[str] = set()
    process = psutil.Process()
    rss = 0
    for batch in seconds:
        began, cpu = time.perf_counter(), time.process_time()
        with store.transaction() as tx:
            applied = apply_deltas(tx, batch)
        applying.append(time.perf_counter() - began)
        events, rows = events + applied.events, rows + applied.rows
        watermark = batch[0].watermark
        before = _rows(store)
        for _ in range(20):
            began = time.perf_counter()
            if upkeep.turn(watermark) is None:
                break
            upkeeping.append(time.perf_counter() - began)
        cpu_s += time.process_time() - cpu
        folded += before - _rows(store)
        rss = max(rss, process.memory_info().rss)
        names.update(batch[0].panes.filter(pl.col("kind") == "account")["entity_id"].head(1))
    store.checkpoint()
    return StoreMeasured(
        accounts=_one(store, "select count(*) from accounts"),
        events=events,
        rows=rows,
        apply_rows_per_s=rows / sum(applying),
        apply_events_per_s=events / sum(applying),
        apply_p99_ms=float(np.quantile(applying, 0.99)) * 1000,
        fold_rows_per_s=folded / sum(upkeeping) if upkeeping else 0.0,
        longest_upkeep_ms=max(upkeeping, default=0.0) * 1000,
        cpu_s_per_million_events=cpu_s / events * 1e6,
        rss_mb=rss / 1e6,
        file_mb=store.size_bytes() / 1e6,
        hour_of_one_account_ms=_asked(
            store, f"select * from fingerprints_1h where kind = 'account' and entity_id = '{min(names)}'"
        ),
        busiest_ms=_asked(
            store,
            "select entity_id, sum(events) as n from fingerprints_1m where kind = 'account' "
            "group by all order by n desc limit 10",
        ),
    )


def _rows(store: Store) -> int:
    return _one(store, "select (select count(*) from pane_delta) + (select count(*) from link_delta)")


def _one(store: Store, sql: str) -> int:
    row = store.connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _asked(store: Store, sql: str) -> float:
    began = time.perf_counter()
    run_query(store, sql, timeout_s=60, max_rows=1000)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    found = run()
    for name in StoreMeasured.__dataclass_fields__:
        print(f"{name:28} {getattr(found, name):,.1f}")
