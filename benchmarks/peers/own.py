"""Stillwatch at the job of the others, from topic to DuckDB: with settings that leave out what the job does not ask
for (``job_only``), and as the whole product, with all entities, features and rules."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import psutil

from benchmarks.stages import serve_answers, share_committed
from pipeline.bench.steady import cpu_s
from pipeline.config import RuleSettings
from pipeline.rules import load_rules
from tests.chaos.harness import Pipeline

LIMIT_S: Final = 600.0
_JOB: Final = """
select
    entity_id as account_id,
    epoch_us(window_start) as "window",
    events,
    input_tokens,
    output_tokens,
    len(ip_sketch)::bigint as ips, -- exact below 32
    epoch_us(first_seen) as first,
    epoch_us(last_seen) as last
from fingerprints_1m
where kind = 'account'
"""


def job_only() -> dict[str, str]:
    """Settings: the fields that the job needs, no entities beside accounts, no rules."""
    return {
        "STILLWATCH_EVENTS__FIELDS": "input_tokens,output_tokens,ip",
        "STILLWATCH_WORKER__ENTITIES": "",
        "STILLWATCH_RULES__DISABLED": ",".join(sorted(load_rules(RuleSettings()).rules)),
    }


def run(
    bootstrap: str, topic: str, partitions: int, events: int, settings: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, float], float, float]:
    """What is in the store afterwards; CPU-seconds of each stage, seconds, MB; from the first commit on."""
    with tempfile.TemporaryDirectory() as directory:
        extra = {"STILLWATCH_TOPICS__REQUESTS": topic, **settings}
        prefix = f"own{time.monotonic_ns()}"
        pipeline = Pipeline(bootstrap, Path(directory), prefix, partitions, extra)
        try:
            pipeline.spawn("serve")
            client = serve_answers(pipeline)
            names = ("ingest", "worker", "serve")
            for name in names[:2]:
                pipeline.spawn(name)
            processes = {name: psutil.Process(pipeline.pids(name)[0]) for name in names}
            taken = share_committed(pipeline, f"{prefix}-ingest", topic)
            deadline = time.monotonic() + LIMIT_S
            while not (already := taken()):
                _wait(pipeline, deadline)
            before, begun = {name: cpu_s([one]) for name, one in processes.items()}, time.monotonic()
            peak_mb = 0.0
            while client.health().events < events:
                _wait(pipeline, deadline)
                peak_mb = max(peak_mb, sum(one.memory_info().rss for one in processes.values()) / 1e6)
            took_s = time.monotonic() - begun
            used = {name: cpu_s([one]) - before[name] for name, one in processes.items()}
            used["ingest"] /= 1 - already  # what it had committed by then is counted as if it had cost the same
            pipeline.stop("serve")
            with duckdb.connect(str(pipeline.store), read_only=True) as store:
                found = store.execute(_JOB).pl()
        finally:
            pipeline.close()
    return found, used, took_s, peak_mb


def _wait(pipeline: Pipeline, deadline: float) -> None:
    if time.monotonic() > deadline or pipeline.died():
        raise SystemExit("\n".join(pipeline.log(name) for name in ("ingest", "worker", "serve")))
    time.sleep(0.05)
