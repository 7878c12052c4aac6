"""`make bench`: what Stillwatch does on this machine, over Apache Kafka, in one run.

Broker and stages share the machine's cores, so rates are of this machine; CPU-seconds per million events are what to
compare.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.results import record
from benchmarks.stages import Measured, run, serve_answers
from benchmarks.visible import Visible, Who, all_are_active, few_are_busy, measure_visible
from pipeline.config import StoreSettings, WorkerSettings
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

# What the harness of the tests sets to shorter times, as users have it.
DEFAULTS = {
    "STILLWATCH_WORKER__EMIT_EVERY_S": str(WorkerSettings().emit_every_s),
    "STILLWATCH_STORE__FOLD_EVERY_S": str(StoreSettings().fold_every_s),
}


def main() -> None:
    """Run everything; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="for each stage and for all together")
    parser.add_argument("--visible-seconds", type=int, default=90, help="how long the steady 10,000 events/s last")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in ("kafka", "stages", few_are_busy.__name__, all_are_active.__name__):
            (directory / part).mkdir()
        kafka = KafkaServer(directory / "kafka")
        kafka.start()
        try:
            rows = stages(kafka, directory / "stages", options.events)
            seen = [
                visible(kafka, directory / who.__name__, options.visible_seconds, who)
                for who in (few_are_busy, all_are_active)
            ]
        finally:
            kafka.stop()
    if options.record:
        record("stages", {"stages": [asdict(row) for row in rows], "visible": [asdict(one) for one in seen]})


def stages(kafka: KafkaServer, directory: Path, events: int) -> list[Measured]:
    """Each stage alone, then all together, as fast as they go."""
    pipeline = Pipeline(kafka.bootstrap, directory, "bench", extra=DEFAULTS)
    try:
        rows = run(pipeline, events)
    finally:
        pipeline.close()
    for row in rows:
        print(
            f"{row.what:<12} {row.events_per_s:>10,.0f} events/s  {row.cpu_s_per_million:>6.1f} CPU-s/million"
            f"  peak {row.peak_mb:,.0f} MB"
        )
    return rows


def visible(kafka: KafkaServer, directory: Path, seconds: int, who: Who) -> Visible:
    """A steady rate, and how long an event takes to be seen."""
    print(f"a steady rate, {who.__name__} …", flush=True)
    pipeline = Pipeline(kafka.bootstrap, directory, who.__name__, extra=DEFAULTS)
    try:
        pipeline.spawn("serve")
        client = serve_answers(pipeline)
        for name in ("ingest", "worker"):
            pipeline.spawn(name)
        seen = measure_visible(pipeline, client, who=who, seconds=seconds)
    finally:
        pipeline.close()
    print(
        f"event → SQL  p50 {seen.p50_s:.2f} s  p99 {seen.p99_s:.2f} s  longest {seen.longest_s:.2f} s  at"
        f" {seen.events_per_s:,.0f} events/s, {seen.who}  serve peak {seen.serve_peak_mb:,.0f} MB"
        f"  stages {seen.stages_cores:.2f} cores"
    )
    return seen


if __name__ == "__main__":
    main()
