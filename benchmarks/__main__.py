"""`make bench`: each stage alone, then all together, over Apache Kafka on this machine, in one run.

Prints events/s and CPU-seconds per million events while steady, and peak memory of each process. Broker and stages
share the machine's cores, so rates are of this machine; CPU-seconds per million are what to compare.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.load import load
from pipeline.serve.client import ServeClient
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

STEADY = (0.15, 0.85)  # of the work: what is before is start-up, what is after is the last partition's rest
LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """One stage, or all together."""

    what: str
    events: int
    events_per_s: float
    cpu_s_per_million: float
    peak_mb: float


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "kafka").mkdir()
        kafka = KafkaServer(directory / "kafka")
        kafka.start()
        pipeline = Pipeline(kafka.bootstrap, directory, "bench", extra={"STILLWATCH_WORKER__EMIT_EVERY_S": "1.0"})
        try:
            rows = run(pipeline, events)
        finally:
            pipeline.close()
            kafka.stop()
    for row in rows:
        print(
            f"{row.what:<12} {row.events_per_s:>10,.0f} events/s  {row.cpu_s_per_million:>6.1f} CPU-s/million"
            f"  peak {row.peak_mb:,.0f} MB"
        )
    print(f"bench: {json.dumps([asdict(row) for row in rows])}")


def run(pipeline: Pipeline, events: int) -> list[Measured]:
    """Each stage on what the stage before left, then all at once on the same load again."""
    pipeline.spawn("serve")  # makes the topics
    serve_answers(pipeline)
    pipeline.stop("serve")
    send(pipeline, events)
    group = {stage: pipeline.environ()[f"STILLWATCH_{stage.upper()}__GROUP"] for stage in ("ingest", "worker")}
    rows = [
        stage(pipeline, "ingest", events, share_committed(pipeline, group["ingest"], pipeline.requests)),
        stage(pipeline, "worker", events, share_committed(pipeline, group["worker"], f"{pipeline.prefix}.events")),
        stage(pipeline, "serve", events, share_stored(pipeline, events)),
    ]
    send(pipeline, events)
    for name in ("ingest", "worker"):
        pipeline.spawn(name)
    rows.append(together(pipeline, events))
    return rows


def send(pipeline: Pipeline, events: int) -> None:
    """Put the load on the raw topic, confirmed."""
    print("sending …", flush=True)
    producer = KafkaProducer(
        bootstrap_servers=pipeline.bootstrap, acks="all", compression_type="lz4", linger_ms=20, batch_size=262_144
    )
    for number, chunk in enumerate(load(events, seed=time.time_ns() % 1_000_000)):
        futures = [
            producer.send(
                pipeline.requests, value=value, partition=(number * len(chunk) + row) // 500 % pipeline.partitions
            )
            for row, value in enumerate(chunk)
        ]
        for future in futures:
            future.get(60)
    producer.close()


def stage(pipeline: Pipeline, name: str, events: int, done: Callable[[], float]) -> Measured:
    """Run one stage until it has done everything; it is stopped afterwards."""
    print(f"{name} …", flush=True)
    process = psutil.Process(pipeline.spawn(name).pid)
    row = steady(name, [process], events, done)
    pipeline.stop(name)
    return row


def together(pipeline: Pipeline, events: int) -> Measured:
    """All three stages at once, from the raw topic to what SQL sees."""
    print("all together …", flush=True)
    serve = pipeline.spawn("serve")
    processes = [psutil.Process(pid) for pid in (*pipeline.pids("ingest", "worker"), serve.pid)]
    return steady("end to end", processes, events, share_stored(pipeline, events, already=events))


def steady(what: str, processes: Sequence[psutil.Process], events: int, done: Callable[[], float]) -> Measured:
    """Measure between two shares of the work."""
    first: tuple[float, float, float] | None = None
    deadline = time.monotonic() + LIMIT_S
    peak = 0.0
    while True:
        share, now, cpu = done(), time.monotonic(), sum(sum(p.cpu_times()[:2]) for p in processes)
        peak = max(peak, sum(p.memory_info().rss for p in processes) / 1e6)
        if first is None and share >= STEADY[0]:
            first = share, now, cpu
        if share >= STEADY[1] and first is not None and share > first[0]:
            counted = (share - first[0]) * events
            return Measured(what, events, counted / (now - first[1]), (cpu - first[2]) / counted * 1e6, peak)
        if first is not None and share >= 1 - 1e-9 and share == first[0]:
            raise SystemExit(f"{what}: done in one step, too little to measure; give more by --events")
        if now > deadline:
            raise SystemExit(f"{what}: {share:.0%} done after {LIMIT_S} s")
        time.sleep(0.05)


def share_committed(pipeline: Pipeline, group: str, topic: str) -> Callable[[], float]:
    """How much of a topic a group has committed."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.bootstrap, group_id=group, enable_auto_commit=False)
    items = [TopicPartition(topic, number) for number in range(pipeline.partitions)]
    end = sum(consumer.end_offsets(items).values())
    return lambda: sum(consumer.committed(item) or 0 for item in items) / max(1, end)


def share_stored(pipeline: Pipeline, events: int, *, already: int = 0) -> Callable[[], float]:
    """How much is in the store, as serve says."""
    client: list[ServeClient] = []

    def done() -> float:
        if not client:
            found = ServeClient.find(pipeline.store)
            if found is None:
                return 0.0
            client.append(found)
        return (client[0].health().events - already) / events

    return done


def serve_answers(pipeline: Pipeline) -> None:
    """Wait until serve answers."""
    deadline = time.monotonic() + LIMIT_S
    while ServeClient.find(pipeline.store) is None:
        if time.monotonic() > deadline or pipeline.died():
            raise SystemExit(f"serve does not answer\n{pipeline.log('serve')}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
