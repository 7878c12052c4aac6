"""From what a machine needed an event to what a load would take."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench import Asked, Measured, Stage, plan
from pipeline.bench.capacity import BUSY, PROCESS_CORES, active
from pipeline.config import StoreSettings

MEASURED = Measured(
    day="2026-11-27",
    cores=2,
    events=1_000_000,
    accounts=20_000,
    event_bytes=480,
    account_minutes=100_000,
    store_bytes=50_000_000,
    stages={"ingest": Stage(6, 160_000, 400), "worker": Stage(3, 300_000, 500), "serve": Stage(2, 500_000, 600)},
)
STORE = StoreSettings(retention_panes_h=48, retention_hours_d=90, retention_days_d=400)


def test_a_load_that_can_be_reckoned_by_hand() -> None:
    # So many requests that every account is active each minute.
    needs = plan(MEASURED, Asked(events_per_s=100_000, accounts=6_000), STORE)
    # 0.6 of a core for the events, which is more than one process has left beside its batches.
    assert needs.ingests == 2
    assert needs.ingest_cores == pytest.approx(0.6 + 2 * PROCESS_CORES)
    assert needs.workers == 1
    assert needs.worker_cores == pytest.approx(0.3 + PROCESS_CORES)
    # 6,000 rows a minute, each 2 s / 100,000.
    assert needs.store_cores == pytest.approx(6_000 * 2e-5 / 60 + PROCESS_CORES)
    assert needs.serve_carries
    # 500 bytes a row: of 48 hours by the minute, 90 days by the hour, 400 days.
    assert needs.store_disk_gb == pytest.approx(6_000 * (48 * 60 + 90 * 24 + 400) * 500 / 1e9)
    assert needs.kafka_disk_gb == pytest.approx(100_000 * 86_400 * 480 / 1e9)
    assert needs.partitions == 4


def test_more_than_one_process_can_carry_is_given_to_several() -> None:
    needs = plan(MEASURED, Asked(events_per_s=1_000_000, accounts=10_000_000), STORE)
    assert needs.ingests == math.ceil(6 / (BUSY - PROCESS_CORES))
    assert needs.workers == math.ceil(3 / (BUSY - PROCESS_CORES))
    assert needs.ingest_cores / needs.ingests <= BUSY
    assert needs.partitions == 2 * needs.ingests
    # Nearly every account each minute: 10 million rows, 200 CPU-seconds.
    assert needs.store_cores > 3
    assert not needs.serve_carries


@given(
    st.floats(0.01, 1e6),
    st.integers(1, 10_000_000),
    st.floats(1.0, 10.0),
)
def test_more_of_anything_takes_no_less(rate: float, accounts: int, times: float) -> None:
    asked = Asked(rate, accounts)
    needs = plan(MEASURED, asked, STORE)
    for more in (replace(asked, events_per_s=rate * times), replace(asked, accounts=round(accounts * times))):
        larger = plan(MEASURED, more, STORE)
        assert larger.planned_cores >= needs.planned_cores * (1 - 1e-9)
        assert larger.store_disk_gb >= needs.store_disk_gb * (1 - 1e-9)
        assert larger.memory_gb >= needs.memory_gb
    assert 0 < active(asked, 60) <= min(accounts, rate * 60) * (1 + 1e-9)
