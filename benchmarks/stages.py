"""The speed of each stage alone, then of all together, over Apache Kafka: events/s, CPU-seconds per million, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.load import load
from pipeline.serve.client import ServeClient
from tests.chaos.harness import Pipeline

STEADY = (0.15, 0.85)  # of the work: what is before is start-up, what is after is the last partition's rest
LIMIT_S = 300
QUIET_S = 5.0


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
    begun, before, peak, share = time.monotonic(), cpu_s([process]), 0.0, 0.0
    while share < 1 - 1e-9:
        if time.monotonic() - begun > LIMIT_S:
            raise SystemExit(f"serve: {share:.1%} done after {LIMIT_S} s")
        time.sleep(0.02)
        share = client.health().events / events
        peak = max(peak, process.memory_info().rss / 1e6)
    took_s, used_s = time.monotonic() - begun, cpu_s([process]) - before
    pipeline.stop("serve")
    return Measured("serve", events, events / took_s, used_s / events * 1e6, peak)


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """CPU time that the processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


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
        share, now, cpu = done(), time.monotonic(), cpu_s(processes)
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


def finish(done: Callable[[], float]) -> None:
    """Wait until nothing more is done; the last few offsets of a topic may be markers that nobody commits."""
    share, moved_s = done(), time.monotonic()
    while time.monotonic() - moved_s < QUIET_S:
        time.sleep(0.2)
        now = done()
        if now > share:
            share, moved_s = now, time.monotonic()


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
