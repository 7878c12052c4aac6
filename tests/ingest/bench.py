"""Topics of one test, ingests over them (threads or processes), and what a reader of committed records finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from pipeline.broker import ensure_topics
from pipeline.clock import SystemClock
from pipeline.config import Settings
from pipeline.config.tree import IngestSettings, KafkaSettings, TopicSettings
from pipeline.events.batch import decode_events, whole
from pipeline.events.chain import chain_of
from pipeline.events.dead_letter import decode_dead_letters
from pipeline.events.schema import DEAD_LETTERS, EVENTS
from pipeline.ingest import run_ingest
from pipeline.metrics import Metrics

ROOT = Path(__file__).parents[2]


def event(number: int, *, account: str | None = None, **more: Any) -> bytes:
    """A native event of now."""
    return json.dumps(
        {
            "event_id": f"evt-{number:06d}",
            "timestamp": time.time(),
            "account_id": account or f"acct-{number % 37:03d}",
            "model": "m-1",
            "input_tokens": number,
            "output_tokens": 1,
            **more,
        }
    ).encode()


BROKEN = b'{"event_id": "broken", '


@dataclass(slots=True)
class Bench:
    """Everything of one test; ``close`` ends what it started."""

    settings: Settings
    directory: Path
    _producer: KafkaProducer | None = None
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _threads: list[Running] = field(default_factory=list)

    def send(self, values: Iterable[bytes], *, partition: int | None = None, headers: Any = ()) -> int:
        """Send and confirm; returns how many."""
        if self._producer is None:
            self._producer = KafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap, acks="all", linger_ms=5)
        futures = [
            self._producer.send(self.settings.topics.requests, value=value, partition=partition, headers=list(headers))
            for value in values
        ]
        for future in futures:
            future.get(timeout=60)
        return len(futures)

    def process(self, *, fault: str | None = None) -> subprocess.Popen[bytes]:
        """An ingest as a process."""
        kafka, topics, ingest = self.settings.kafka, self.settings.topics, self.settings.ingest
        environ = {key: value for key, value in os.environ.items() if not key.startswith("STILLWATCH_")} | {
            "STILLWATCH_KAFKA__BOOTSTRAP": str(kafka.bootstrap),
            "STILLWATCH_KAFKA__SESSION_TIMEOUT_S": str(kafka.session_timeout_s),
            "STILLWATCH_INGEST__GROUP": ingest.group,
            "STILLWATCH_TOPICS__PARTITIONS": str(topics.partitions),
            "STILLWATCH_LOG__FORMAT": "json",
            "PYTHONPATH": str(ROOT),
        }
        for name in ("requests", "accounts", "events", "fingerprints", "dead_letter"):
            environ[f"STILLWATCH_TOPICS__{name.upper()}"] = getattr(topics, name)
        if fault:
            environ["STILLWATCH_FAULT"] = fault
        with (self.directory / "ingest.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/ingest/child.py")],
                env=environ,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        self._processes.append(process)
        return process

    def log(self) -> str:
        """What the processes said."""
        path = self.directory / "ingest.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def thread(self, *, decoder: Any = None, settings: Settings | None = None) -> Running:
        """An ingest in a thread."""
        running = Running(settings or self.settings, decoder)
        self._threads.append(running)
        return running

    def events(self, count: int, timeout_s: float = 40) -> pl.DataFrame:
        """All committed events with the partition they are in, once there are ``count`` or time is up."""
        frames = [
            whole(decode_events(record.value)).with_columns(pl.lit(record.partition).alias("_partition"))
            for record in self._read(self.settings.topics.events, count, timeout_s, decode_events)
        ]
        return pl.concat(frames) if frames else EVENTS.to_frame()

    def numbered(self, count: int, timeout_s: float = 40) -> list[tuple[int, bytes | None]]:
        """Partition and number of each committed batch, in the order of its partition's log."""
        records = self._read(self.settings.topics.events, count, timeout_s, decode_events)
        return [(record.partition, chain_of(record.headers)) for record in records]

    def dead(self, count: int, timeout_s: float = 40) -> pl.DataFrame:
        """All committed dead letters, likewise."""
        frames = [
            decode_dead_letters(record.value)
            for record in self._read(self.settings.topics.dead_letter, count, timeout_s, decode_dead_letters)
        ]
        return pl.concat(frames) if frames else DEAD_LETTERS.to_frame()

    def committed(self) -> dict[int, int | None]:
        """Offsets of the ingest group by partition of the raw topic."""
        topics = self.settings.topics
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap,
            group_id=self.settings.ingest.group,
            isolation_level="read_committed",
        )
        try:
            return {
                number: consumer.committed(TopicPartition(topics.requests, number))
                for number in range(topics.partitions)
            }
        finally:
            consumer.close(autocommit=False)

    def close(self) -> None:
        """End all that runs, by its id."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        for running in self._threads:
            running.stop.set()
            running.thread.join(30)
        if self._producer is not None:
            self._producer.close(timeout=2)

    def _read(self, topic: str, count: int, timeout_s: float, decode: Any) -> list[Any]:
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        # Assigned, not subscribed: a subscription takes the partitions that the first metadata names, and no others
        # for minutes.
        partitions = [TopicPartition(topic, number) for number in range(self.settings.topics.partitions)]
        consumer.assign(partitions)
        found: list[Any] = []
        rows = 0
        deadline = time.monotonic() + timeout_s
        try:
            # One more second once all are there: what is there twice comes later.
            while time.monotonic() < deadline:
                for records in consumer.poll(timeout_ms=200).values():
                    found += records
                    rows += sum(decode(record.value).height for record in records)
                if rows >= count:
                    deadline = min(deadline, time.monotonic() + 1)
            if rows < count:
                positions = {one.partition: consumer.position(one) for one in partitions}
                stable = {one.partition: offset for one, offset in consumer.end_offsets(partitions).items()}
                print(f"{topic}: {rows} of {count}, read to {positions}, last stable offsets {stable}")
        finally:
            consumer.close()
        return found


class Running:
    """``run_ingest`` in a thread."""

    def __init__(self, settings: Settings, decoder: Any) -> None:
        self.stop = threading.Event()
        self.metrics = Metrics()
        self.error: BaseException | None = None
        self._settings = settings
        self._decoder = decoder
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def end(self, timeout_s: float = 30) -> None:
        """Stop it and wait; raises what it raised."""
        self.stop.set()
        self.thread.join(timeout_s)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            run_ingest(self._settings, clock=SystemClock(), metrics=self.metrics, stop=self.stop, decoder=self._decoder)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error


@contextmanager
def bench(bootstrap: str, directory: Path, *, partitions: int = 2, **ingest: Any) -> Iterator[Bench]:
    """Topics with names of their own, made; closed at the end."""
    name = f"t{uuid.uuid4().hex[:10]}"
    topics = ("requests", "accounts", "events", "fingerprints", "dead_letter")
    settings = Settings(
        kafka=KafkaSettings(bootstrap=bootstrap, session_timeout_s=3),
        topics=TopicSettings(**{one: f"{name}.{one}" for one in topics}, partitions=partitions),
        ingest=IngestSettings(**{"group": f"{name}-ingest", **ingest}),
    )
    ensure_topics(settings)
    made = Bench(settings, directory)
    try:
        yield made
    finally:
        made.close()


def wait_until(what: Any, timeout_s: float = 30) -> None:
    """Wait for something that real processes do; there is no clock to move here."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
