"""How the cost of ingest and worker grows: `python -m benchmarks.curves [size packed keys partitions]`.

CPU-seconds per million events of each stage alone over a backlog, against one thing at a time: bytes of a message,
events a message, accounts, partitions. All else is as in the rest of the benchmark.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.__main__ import DEFAULTS
from benchmarks.fill import fill
from benchmarks.load import KEYS, load, messages
from benchmarks.results import HERE, record, recorded
from benchmarks.stages import Measured, serve_answers, share_committed, stage
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
MOST_BYTES: Final = 1_200_000_000  # of a backlog: large messages are fewer
# Each emission commits: oftener than by default, so that a short backlog has enough of them to measure between.
EXTRA: Final = DEFAULTS | {"STILLWATCH_WORKER__EMIT_EVERY_S": "0.25"}
Made = Iterator[list[bytes]]


@dataclass(frozen=True, slots=True)
class Point:
    """One load: its place on the curve, what makes its messages from a number of events, and its partitions."""

    at: str
    make: Callable[[int], Made]
    partitions: int = PARTITIONS
    event_bytes: int = 480
    times: int = 1  # as many events: packed ones come so many at once that few are too few steps to measure between


def padded(size: int) -> Point:
    """Messages of so many bytes; what is more than the plain event is a field that nobody reads."""

    def make(events: int) -> Made:
        for chunk in load(events):
            filler = b'"trace":"' + b"x7Qk" * (max(0, size - len(chunk[0]) - 12) // 4) + b'",'
            yield [b"{" + filler + value[1:] for value in chunk]

    return Point(f"{size:,}", make if size > 480 else load, event_bytes=size)


def packed(events_a_message: int, form: str) -> Point:
    """Several events a message."""
    begin, between, end = {"lines": (b"", b"\n", b""), "array": (b"[", b",", b"]")}[form]

    def make(events: int) -> Made:
        for chunk in load(events):
            step = range(0, len(chunk), events_a_message)
            yield [begin + between.join(chunk[row : row + events_a_message]) + end for row in step]

    return Point(f"{events_a_message:,} {form}", load if events_a_message == 1 else make, times=4)


def among(accounts: int) -> Point:
    """Events of so many accounts, all alike; not by Zipf, since a few would make most of them at any number."""

    def make(events: int) -> Made:
        source = np.random.default_rng(3)
        start, step_us = datetime.now(UTC) - timedelta(minutes=10), 600e6 / events
        for done in range(0, events, 100_000):
            number = np.arange(done, min(done + 100_000, events))
            key = source.integers(0, accounts, len(number))
            yield messages(number, key, start, (number * step_us).astype(np.int64), source)

    return Point(f"{accounts:,}", make)


CURVES: Final[dict[str, list[Point]]] = {
    "size": [padded(size) for size in (480, 1_000, 4_000, 16_000)],
    "packed": [*(packed(number, "lines") for number in (1, 10, 100, 1_000)), packed(100, "array")],
    "keys": [among(accounts) for accounts in (100, KEYS, 1_000_000)],
    "partitions": [Point(str(partitions), load, partitions) for partitions in (1, 4, 16)],
}


def main() -> None:
    """Measure each point with topics of its own; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", nargs="*", help=f"some of {', '.join(CURVES)}; all when omitted")
    parser.add_argument("--events", type=int, default=1_500_000)
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        kafka = KafkaServer(Path(place))
        kafka.start()
        try:
            for curve in options.curves or CURVES:
                for number, point in enumerate(CURVES[curve]):
                    directory = Path(place) / f"{curve}{number}"
                    directory.mkdir()
                    pipeline = Pipeline(kafka.bootstrap, directory, f"{curve}{number}", point.partitions, EXTRA)
                    found.setdefault(curve, []).append(_point(pipeline, point, options.events))
                    print(curve, found[curve][-1], flush=True)
        finally:
            kafka.stop()
    if options.record:
        kept = recorded("curves")["curves"] if options.curves and (HERE / "curves.json").exists() else {}
        record("curves", {"curves": kept | found})


def _point(pipeline: Pipeline, point: Point, events: int) -> dict[str, Any]:
    events = min(events * point.times, MOST_BYTES // point.event_bytes)
    try:
        pipeline.spawn("serve")  # makes the topics
        serve_answers(pipeline)
        pipeline.stop("serve")
        sent = fill(pipeline.bootstrap, pipeline.requests, point.partitions, point.make(events))
        rows: dict[str, Measured] = {}
        for name, topic in (("ingest", pipeline.requests), ("worker", f"{pipeline.prefix}.events")):
            group = pipeline.environ()[f"STILLWATCH_{name.upper()}__GROUP"]
            rows[name] = stage(pipeline, name, events, share_committed(pipeline, group, topic))
    finally:
        pipeline.close()
    return {"at": point.at, "events": events, "messages": sent} | {
        name: {"cpu_s_per_million": row.cpu_s_per_million, "events_per_s": row.events_per_s, "peak_mb": row.peak_mb}
        for name, row in rows.items()
    }


if __name__ == "__main__":
    main()
