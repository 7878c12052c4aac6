"""The speed of each stage alone, then of all together, over Apache Kafka: events/s, CPU-seconds per million, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.load import load
from pipeline.bench.steady import finish, whole
from pipeline.bench.steady import steady as measure_steady
from pipeline.serve.client import ServeClient
from tests.chaos.harness import Pipeline

LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """One stage, or all together."""

    what: str
    events: int
    events_per_s: float
    cpu_s_per_million: float
    peak_mb: float


def run(pipeline: Pipeline, events: int) -> list[Measured]:
    """Each stage on what the stage before left, then all at once on the same load again."""
    pipeline.spawn("serve")  # makes the topics
    serve_answers(pipeline)
    pipeline.stop("serve")
    send(pipeline, events, first=0)
    group = {stage: pipeline.environ()[f"STILLWATCH_{stage.upper()}__GROUP"] for stage in ("ingest", "worker")}
    rows = [
        stage(pipeline, "ingest", events, share_committed(pipeline, group["ingest"], pipeline.requests)),
        stage(pipeline, "worker", events, share_committed(pipeline, group["worker"], f"{pipeline.prefix}.events")),
        serve(pipeline, events),
    ]
    send(pipeline, events, first=events)
    for name in ("ingest", "worker"):
        pipeline.spawn(name)
    rows.append(together(pipeline, events))
    return rows


def send(pipeline: Pipeline, events: int, *, first: int) -> None:
    """Put the load on the raw topic, confirmed; events are numbered from ``first`` on."""
    print("sending …", flush=True)
    producer = KafkaProducer(
        bootstrap_servers=pipeline.bootstrap, acks="all", compression_type="lz4", linger_ms=20, batch_size=262_144
    )
    for number, chunk in enumerate(load(events, first=first)):
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
    finish(done)  # the next stage is to find all of it
    pipeline.stop(name)
    return row


def serve(pipeline: Pipeline, events: int) -> Measured:
    """Serve alone, from its first answer to the last event: it takes so much in a transaction that steps are few."""
    print("serve …", flush=True)
    process = psutil.Process(pipeline.spawn("serve").pid)
    client = serve_answers(pipeline)
    found = whole("serve", process, events, lambda: client.health().events / events)
    pipeline.stop("serve")
    return Measured("serve", events, found.events_per_s, found.cpu_s_per_million, found.peak_mb)


def together(pipeline: Pipeline, events: int) -> Measured:
    """All three stages at once, from the raw topic to what SQL sees."""
    print("all together …", flush=True)
    serve = pipeline.spawn("serve")
    processes = [psutil.Process(pid) for pid in (*pipeline.pids("ingest", "worker"), serve.pid)]
    return steady("end to end", processes, events, share_stored(pipeline, events, already=events))


def steady(what: str, processes: Sequence[psutil.Process], events: int, done: Callable[[], float]) -> Measured:
    """Measure between two shares of the work."""
    found = measure_steady(what, processes, events, done)
    return Measured(what, events, found.events_per_s, found.cpu_s_per_million, found.peak_mb)


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


def serve_answers(pipeline: Pipeline) -> ServeClient:
    """Wait until serve answers."""
    deadline = time.monotonic() + LIMIT_S
    while (client := ServeClient.find(pipeline.store)) is None:
        if time.monotonic() > deadline or pipeline.died():
            raise SystemExit(f"serve does not answer\n{pipeline.log('serve')}")
        time.sleep(0.1)
    return client
