"""Starts, kills and restarts the real commands against a real broker, and reads the store afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.chaos.traffic import Sums, Traffic

COMMAND = (sys.executable, "-m", "pipeline.cli")


@dataclass(slots=True)
class Pipeline:
    """One pipeline's processes, topics and store; ``close`` ends every process it started, by id."""

    bootstrap: str
    directory: Path
    prefix: str
    partitions: int = 4
    extra: dict[str, str] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.directory / "store.duckdb"

    @property
    def requests(self) -> str:
        return f"{self.prefix}.requests"

    def environ(self) -> dict[str, str]:
        """Settings by environment, as an operator gives them."""
        topics = {
            name.upper(): f"{self.prefix}.{name}"
            for name in ("requests", "accounts", "events", "fingerprints", "dead_letter")
        }
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("STILLWATCH_")},
            **{f"STILLWATCH_TOPICS__{name}": value for name, value in topics.items()},
            "STILLWATCH_KAFKA__BOOTSTRAP": self.bootstrap,
            "STILLWATCH_TOPICS__PARTITIONS": str(self.partitions),
            "STILLWATCH_INGEST__GROUP": f"{self.prefix}-ingest",
            "STILLWATCH_WORKER__GROUP": f"{self.prefix}-worker",
            "STILLWATCH_WORKER__EMIT_EVERY_S": "0.3",
            "STILLWATCH_WORKER__DATA_DIR": str(self.directory / "worker"),
            "STILLWATCH_STORE__PATH": str(self.store),
            "STILLWATCH_STORE__FOLD_EVERY_S": "2",
            "STILLWATCH_SERVE__LISTEN": "127.0.0.1:0",
            "STILLWATCH_LOG__FORMAT": "json",
            **self.extra,
        }

    def spawn(self, name: str, *, fault: str | None = None) -> subprocess.Popen[bytes]:
        """Start ``ingest``, ``worker`` or ``serve``; ``name`` may end in a number to tell several apart."""
        environ = self.environ() | ({"STILLWATCH_FAULT": fault} if fault else {})
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, name.rstrip("0123456789")], env=environ, stdout=log, stderr=log, cwd=self.directory
            )
        self._running[name] = process
        return process

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut would."""
        process = self._running[name]
        process.kill()
        process.wait(10)

    def wait_killed(self, name: str, timeout_s: float = 60) -> None:
        """Wait until a process has met its fault point."""
        code = self._running[name].wait(timeout_s)
        assert code == -signal.SIGKILL, f"{name} ended with {code}\n{self.log(name)}"

    def pids(self, *names: str) -> list[int]:
        """Process ids of the named processes."""
        return [self._running[name].pid for name in names]

    def died(self) -> list[str]:
        """Names of processes that ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return (self.directory / f"{name}.log").read_text(errors="replace")[-4000:]

    def stop(self, name: str, timeout_s: float = 40) -> int:
        """SIGTERM and wait: a graceful end, its exit code."""
        process = self._running.pop(name)
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end on SIGTERM\n{self.log(name)}") from None

    def close(self) -> None:
        """End everything that still runs."""
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
            process.wait(10)


@contextmanager
def running(pipeline: Pipeline, names: Sequence[str]) -> Iterator[Pipeline]:
    """The named processes, ended whatever happens."""
    try:
        for name in names:
            pipeline.spawn(name)
        yield pipeline
    finally:
        pipeline.close()


class Sender:
    """Sends to the raw topic, idempotently and confirmed: what it says was sent is there once."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._topic = pipeline.requests
        self._producer = KafkaProducer(
            bootstrap_servers=pipeline.bootstrap, acks="all", enable_idempotence=True, linger_ms=5
        )

    def send(self, traffic: Traffic, count: int) -> None:
        """Make, send and confirm ``count`` messages."""
        futures = [self._producer.send(self._topic, value=value) for value in traffic.messages(count)]
        for future in futures:
            future.get(timeout=60)

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()


def is_committed(pipeline: Pipeline) -> bool:
    """Whether ingest has committed all that was sent, and every partition of the event topic has its last marker."""
    raw = [TopicPartition(pipeline.requests, number) for number in range(pipeline.partitions)]
    events = [TopicPartition(f"{pipeline.prefix}.events", number) for number in range(pipeline.partitions)]
    ends = {}
    for isolation in ("read_committed", "read_uncommitted"):
        consumer = KafkaConsumer(
            bootstrap_servers=pipeline.bootstrap, group_id=f"{pipeline.prefix}-ingest", isolation_level=isolation
        )
        try:
            ends[isolation] = consumer.end_offsets(events)
            sent = consumer.end_offsets(raw)
            taken = {partition: consumer.committed(partition) for partition in raw}
        finally:
            consumer.close(autocommit=False)
    return ends["read_committed"] == ends["read_uncommitted"] and all(
        (taken[partition] or 0) == sent[partition] for partition in raw
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds."""

    sums: dict[tuple[str, datetime], Sums]
    duplicates: int
    dead_letters: int
    holes: int


def read_store(path: Path) -> Stored:
    """Read a store that no process has open."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        rows = connection.execute(
            "select entity_id, window_start, events, input_tokens, output_tokens"
            " from fingerprints_1m where kind = 'account'"
        ).fetchall()
        [duplicates] = connection.execute("select coalesce(sum(duplicates), 0) from delta_log").fetchone() or (0,)
        [dead] = connection.execute("select count(*) from dead_letters").fetchone() or (0,)
        [holes] = connection.execute("select count(*) from hole").fetchone() or (0,)
    return Stored(
        {(row[0], row[1]): (int(row[2]), int(row[3]), int(row[4])) for row in rows}, int(duplicates), dead, holes
    )


def differences(stored: Stored, traffic: Traffic) -> list[str]:
    """Every way in which a store differs from what was sent; empty: exactly once."""
    expected = traffic.sums()
    found = [
        f"{account} {pane:%H:%M}: stored {stored.sums.get((account, pane))}, sent {expected.get((account, pane))}"
        for account, pane in sorted(expected.keys() | stored.sums.keys())
        if stored.sums.get((account, pane)) != expected.get((account, pane))
    ]
    counted = sum(events for events, _, _ in stored.sums.values())
    if counted + stored.duplicates + stored.dead_letters != traffic.items:
        found.append(
            f"{counted} counted + {stored.duplicates} duplicates + {stored.dead_letters} dead != {traffic.items}"
        )
    if stored.dead_letters != traffic.broken:
        found.append(f"{stored.dead_letters} dead letters, {traffic.broken} sent broken")
    if stored.holes:
        found.append(f"{stored.holes} holes")
    return found


def settle(pipeline: Pipeline, traffic: Traffic, *, timeout_s: float = 180) -> Stored:
    """Wait until all that was sent has arrived, stop serve, read the store; at the limit, as it is then."""
    deadline, pause_s = time.monotonic() + timeout_s, 3.0
    while True:
        time.sleep(2)  # real processes over a real broker: there is no clock to move here
        pipeline.stop("serve")
        stored = read_store(pipeline.store)
        arrived = sum(events for events, _, _ in stored.sums.values()) + stored.duplicates + stored.dead_letters
        if arrived >= traffic.items or time.monotonic() > deadline:
            return stored
        pipeline.spawn("serve")
        time.sleep(pause_s)
        pause_s *= 1.5  # on a busy machine it has only just started by then


def random_victims(names: Sequence[str], kills: int, seed: int) -> list[tuple[str, float]]:
    """Whom to kill, and how long to wait before: the same for the same seed."""
    source = random.Random(seed)
    return [(source.choice(names), source.uniform(0.5, 5.0)) for _ in range(kills)]
