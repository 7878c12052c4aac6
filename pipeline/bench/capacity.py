"""From what a machine needed an event to what a load would take: cores, processes, partitions, memory, disk.

Costs are taken as proportional, ingest and worker by events, the store by rows of an account and minute, rules by
accounts, on top of what every process needs for its batches at any rate. `benchmarks.steady` and `benchmarks.look` say
how far that holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pipeline.bench.measure import Measured
from pipeline.config import StoreSettings

BUSY: Final = 0.6  # of a core that a process is planned to use: the rest is for bursts and for catching up
PROCESS_CORES: Final = 0.1  # that a process needs whatever comes: at 1,000 events/s (`benchmarks.steady`, 2026-11-27)
RULES_CPU_S: Final = 6.7e-5  # an active account and minute, by `benchmarks.look` over 95,323 accounts, 2026-11-27
RULES_KB: Final = 10.0  # of the store's memory an active account: 1,024 MB carry 95,000 (docs/operations.md)
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Asked:
    """A load: events a second on average, accounts that are active in two days, days that Kafka keeps messages."""

    events_per_s: float
    accounts: int
    kafka_days: float = 1.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What it takes. Cores are those in use on average; disk is in GB, Kafka's without compression or replicas."""

    ingest_cores: float
    ingests: int
    worker_cores: float
    workers: int
    store_cores: float
    rules_cores: float
    partitions: int
    memory_gb: float
    store_memory_mb: int
    store_disk_gb: float
    kafka_disk_gb: float

    @property
    def planned_cores(self) -> float:
        """All of them together, with what is left free."""
        return (self.ingest_cores + self.worker_cores + self.store_cores + self.rules_cores) / BUSY

    @property
    def serve_carries(self) -> bool:
        """Whether one serve keeps up: applying is one thread's work, and there is one serve a store."""
        return self.store_cores <= BUSY


def plan(measured: Measured, asked: Asked, store: StoreSettings) -> Needs:
    """What a load takes of machines like the one that was measured."""
    ingest, worker, serve = (measured.stages[name] for name in ("ingest", "worker", "serve"))
    ingests, ingest_cores = _spread(asked.events_per_s * ingest.cpu_s_per_million / 1e6)
    workers, worker_cores = _spread(asked.events_per_s * worker.cpu_s_per_million / 1e6)
    row_cpu_s = serve.cpu_s_per_million * measured.events / 1e6 / measured.account_minutes
    row_bytes = measured.store_bytes / measured.account_minutes
    minutes = active(asked, MINUTE_S)
    rows = (
        minutes * 60 * store.retention_panes_h
        + active(asked, HOUR_S) * 24 * store.retention_hours_d
        + active(asked, DAY_S) * store.retention_days_d
    )
    store_memory_mb = max(512, math.ceil(asked.accounts * RULES_KB / 1000))
    return Needs(
        ingest_cores=ingest_cores,
        ingests=ingests,
        worker_cores=worker_cores,
        workers=workers,
        store_cores=minutes * row_cpu_s / MINUTE_S + PROCESS_CORES,
        rules_cores=asked.accounts * RULES_CPU_S / MINUTE_S,
        # Two for each process, so that one that is slow or gone leaves little behind.
        partitions=max(4, 2 * max(ingests, workers)),
        memory_gb=(ingests * ingest.peak_mb + workers * worker.peak_mb + store_memory_mb + 200) / 1000,
        store_memory_mb=store_memory_mb,
        store_disk_gb=rows * row_bytes / 1e9,
        kafka_disk_gb=asked.events_per_s * DAY_S * asked.kafka_days * measured.event_bytes / 1e9,
    )


def _spread(cores: float) -> tuple[int, float]:
    """How many processes share so much work, and the cores that they use with what each needs by itself."""
    processes = max(1, math.ceil(cores / (BUSY - PROCESS_CORES)))
    return processes, cores + processes * PROCESS_CORES


def active(asked: Asked, span_s: float) -> float:
    """Accounts that send something within a span, if all send equally often: uneven traffic has fewer."""
    return asked.accounts * -math.expm1(-asked.events_per_s * span_s / asked.accounts)
