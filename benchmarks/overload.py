"""Twice what the machine takes, then half of it: `python -m benchmarks.overload [--seconds 600]`.

First a backlog, for the most that the machine takes. Then a sender at twice that rate, and, when its time is up, one at
half of it until nothing waits any more and a while beyond. Each second what the stages hold and how much waits is
looked at; ten times a second an event is followed into SQL. All that was sent is counted in the store at the end.
Sender, broker and stages share the machine: the sender takes from the stages what it needs itself.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.__main__ import DEFAULTS
from benchmarks.bad_days import settled
from benchmarks.fill import fill
from benchmarks.load import load
from benchmarks.results import record
from benchmarks.stages import serve_answers, share_stored
from benchmarks.visible import Counted, SteadySender, few_are_busy, follow
from pipeline.bench.steady import steady as measure_steady
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
STAGES: Final = ("ingest", "worker", "serve")
WARM: Final = 0.5  # of a phase: largest batches were seen, and the ids that a worker remembers have filled their room
CAUGHT_UP_S: Final = 2.0  # less than what came in so long waits: nothing does
APART: Final = 1_000_000_000  # numbers of the second sender's events from those of the first


@dataclass(slots=True)
class Watched:
    """What was looked at each second."""

    at_s: list[float] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    memory_mb: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})

    def between(self, since_s: float, until_s: float) -> slice:
        """Where these times are."""
        return slice(int(np.searchsorted(self.at_s, since_s)), int(np.searchsorted(self.at_s, until_s)))

    def slope_mb(self, stage: str, part: slice) -> float:
        """MB a minute that a stage grew by, by the straight line nearest to all of it."""
        return float(np.polyfit(np.array(self.at_s[part]), np.array(self.memory_mb[stage][part]), 1)[0]) * 60


def main() -> None:
    """Measure the most, send twice as much, then half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="of twice the maximum")
    parser.add_argument("--after", type=int, default=60, help="seconds at half of the maximum once nothing waits")
    parser.add_argument("--events", type=int, default=2_000_000, help="of the backlog that tells the maximum")
    parser.add_argument("--drains-within", type=int, default=1800, help="seconds until it is given up")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kafka = KafkaServer(directory)
        kafka.start()
        pipeline = Pipeline(kafka.bootstrap, directory, "overload", PARTITIONS, DEFAULTS)
        try:
            found = _run(pipeline, options)
        finally:
            pipeline.close()
            kafka.stop()
    for part, said in found.items():
        print(part, said)
    if options.record:
        record("overload", found)


def _run(pipeline: Pipeline, options: argparse.Namespace) -> dict[str, Any]:
    pipeline.spawn("serve")
    client = serve_answers(pipeline)
    fill(pipeline.bootstrap, pipeline.requests, PARTITIONS, load(options.events))
    for stage in ("ingest", "worker"):
        pipeline.spawn(stage)
    processes = {stage: psutil.Process(pipeline.pids(stage)[0]) for stage in STAGES}
    done = share_stored(pipeline, options.events)
    most = measure_steady("all stages", list(processes.values()), options.events, done)
    before, _ = settled(client, options.events)
    print(f"a backlog: {most.events_per_s:,.0f} events/s, {most.cpu_s_per_million:.1f} CPU-s/million", flush=True)

    counted, watched = Counted(), Watched()
    over = threading.Event()

    def stored() -> int:
        health = client.health()
        return health.events + health.dead_letters - before

    watching = threading.Thread(target=_watch, args=(watched, processes, counted, stored, over), daemon=True)
    watching.start()
    high = SteadySender(pipeline, int(2 * most.events_per_s), options.seconds, few_are_busy, counted, first=APART)
    begun = time.monotonic()
    sending = threading.Thread(target=high.run, daemon=True)
    sending.start()
    sending.join()
    ended, sent_high = time.monotonic(), counted.sent
    print(f"twice as much: {sent_high:,} sent in {ended - begun:.0f} s, {watched.waiting[-1]:,} wait", flush=True)

    half = int(most.events_per_s / 2)
    low = SteadySender(pipeline, half, options.drains_within, few_are_busy, counted, first=2 * APART)
    drained: list[float] = []

    def look() -> None:
        now = time.monotonic()
        if not drained and watched.waiting[-1] < CAUGHT_UP_S * half:
            drained.append(now)
            print(f"nothing waits after {now - ended:.0f} s", flush=True)
        if drained and now > drained[0] + options.after:
            low.stop.set()

    waited = follow(low, client, look, give_up_after_s=options.drains_within)
    there, dead = settled(client, before + counted.sent)
    over.set()
    watching.join()
    if not drained or there + dead != before + counted.sent or pipeline.died():
        raise SystemExit(f"{counted.sent:,} sent, {there - before:,} stored, {dead:,} dead; ended: {pipeline.died()}")
    after = [seconds for name, seconds in waited.items() if low.sent_s[name] > drained[0] + options.after / 4]
    return {
        "most": {"events_per_s": most.events_per_s, "cpu_s_per_million": most.cpu_s_per_million},
        "overload": _phase(watched, begun, ended)
        | {"seconds": ended - begun, "sent": sent_high, "sent_per_s": sent_high / (ended - begun)},
        "drained": _phase(watched, ended, drained[0]) | {"seconds": drained[0] - ended, "sent_per_s": half},
        "after": {
            "events_per_s": half,
            "probes": len(after),
            "p50_s": float(np.quantile(after, 0.5)),
            "p99_s": float(np.quantile(after, 0.99)),
            "back_under_s": _back(low.sent_s, waited, ended),
        },
        "sent": counted.sent,
        "dead_letters": dead,
    }


def _watch(
    watched: Watched,
    processes: Mapping[str, psutil.Process],
    counted: Counted,
    stored: Callable[[], int],
    over: threading.Event,
) -> None:
    while not over.wait(1.0):
        sent, there = counted.sent, stored()
        watched.at_s.append(time.monotonic())
        watched.stored.append(there)
        watched.waiting.append(sent - there)
        for stage, process in processes.items():
            watched.memory_mb[stage].append(process.memory_info().rss / 1e6)


def _phase(watched: Watched, since_s: float, until_s: float) -> dict[str, Any]:
    part = watched.between(since_s, until_s)
    warm = watched.between(since_s + WARM * (until_s - since_s), until_s)
    stored, at_s = watched.stored[part], watched.at_s[part]
    return {
        "stored_per_s": (stored[-1] - stored[0]) / (at_s[-1] - at_s[0]),
        "most_waiting": max(watched.waiting[part]),
        "peak_mb": {stage: max(watched.memory_mb[stage][part]) for stage in STAGES},
        "mb_a_minute": {stage: watched.slope_mb(stage, warm) for stage in STAGES},
    }


def _back(sent_s: dict[str, float], waited: dict[str, float], since_s: float) -> float:
    """From the end of the overload to when the last event was sent that took as long as 2 s to be seen."""
    return max((sent_s[name] - since_s for name, seconds in waited.items() if seconds >= 2.0), default=0.0)


if __name__ == "__main__":
    main()
