"""Cores of each stage at steady rates, with default settings: `python -m benchmarks.steady [--rates 100,1000,10000]`.

How the cost grows with the rate: what a second costs before any event comes, and what an event adds. `--who` says whose
the events are; `--set NAME=VALUE` sets environment variables of all stages, to hold one way against another.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import psutil

from benchmarks.__main__ import DEFAULTS
from benchmarks.results import record
from benchmarks.stages import serve_answers
from benchmarks.visible import SteadySender, all_are_active, few_are_busy
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

STAGES: Final = ("ingest", "worker", "serve")
SETTLING_S: Final = 20.0  # groups form, caches fill
WHO: Final = {made.__name__: made for made in (few_are_busy, all_are_active)}


def main() -> None:
    """Measure each rate in turn, with processes of its own; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="100,1000,10000", help="events a second, comma between")
    parser.add_argument("--seconds", type=int, default=60, help="how long each rate is measured")
    parser.add_argument("--who", choices=sorted(WHO), default=few_are_busy.__name__)
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="extra")
    options = parser.parse_args()
    extra = dict(pair.split("=", 1) for pair in options.extra)
    found: dict[str, dict[str, float]] = {}
    print("events/s   " + "".join(f"{name:>9}" for name in STAGES) + "   CPU-s/million")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kafka = KafkaServer(directory)
        kafka.start()
        try:
            for number, rate in enumerate(int(one) for one in options.rates.split(",")):
                (directory / f"run{number}").mkdir()
                pipeline = Pipeline(kafka.bootstrap, directory / f"run{number}", f"r{number}", extra=DEFAULTS | extra)
                try:
                    cores = steady(pipeline, rate, options.seconds, options.who)
                finally:
                    pipeline.close()
                found[str(rate)] = cores
                each = "".join(f"{cores[stage]:>9.3f}" for stage in STAGES)
                print(f"{rate:>8,}   {each}   {sum(cores.values()) / rate * 1e6:>8.1f}", flush=True)
        finally:
            kafka.stop()
    if options.record:
        record("steady", {"who": options.who, "seconds": options.seconds, "cores": found})


def steady(pipeline: Pipeline, rate: int, seconds: int, who: str) -> dict[str, float]:
    """Cores that each stage uses at that rate."""
    pipeline.spawn("serve")
    serve_answers(pipeline)
    for name in ("ingest", "worker"):
        pipeline.spawn(name)
    processes = {name: psutil.Process(pipeline.pids(name)[0]) for name in STAGES}
    sender = SteadySender(pipeline, rate, int(seconds + SETTLING_S) + 5, WHO[who])
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    time.sleep(SETTLING_S)
    begun, before = time.monotonic(), {name: sum(one.cpu_times()[:2]) for name, one in processes.items()}
    time.sleep(seconds)
    took_s = time.monotonic() - begun
    found = {name: (sum(one.cpu_times()[:2]) - before[name]) / took_s for name, one in processes.items()}
    thread.join()
    return found


if __name__ == "__main__":
    main()
