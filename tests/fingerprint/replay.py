"""Real workers over a real broker, and the fingerprints log read back by the rule of the promises."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from pipeline.events.batch import EVENTS_VERSION, VERSION_HEADER, encode_events
from pipeline.fingerprint.codec import HEADER, DeltaAssembler
from pipeline.fingerprint.distributions import merge_distributions
from pipeline.fingerprint.loops import merge_loops
from pipeline.fingerprint.merge import merge_links, merge_panes
from pipeline.fingerprint.schema import Delta

PROGRAM = """
import sys
from pipeline import logs
from pipeline.config import load
from pipeline.errors import StillwatchError
from pipeline.fingerprint.worker import run_worker
settings = load().settings
logs.configure(settings.log, service="worker")
try:
    run_worker(settings)
except StillwatchError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@dataclass(slots=True)
class Bench:
    """Topics of one test, and the workers it started."""

    bootstrap: str
    name: str
    directory: Path
    partitions: int = 2
    _workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def events(self) -> str:
        return f"{self.name}.events"

    def fingerprints(self, group: str = "") -> str:
        return f"{self.name}.fingerprints{group}"

    @property
    def dead_letter(self) -> str:
        return f"{self.name}.dead"

    def create(self, groups: tuple[str, ...] = ("",)) -> None:
        """Create the topics; a fingerprints topic a group."""
        names = [self.events, self.dead_letter, *(self.fingerprints(group) for group in groups)]
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.create_topics([NewTopic(name, self.partitions, 1) for name in names])
        admin.close()

    def worker(self, *, group: str = "", fault: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker; settings as in STILLWATCH_WORKER__…"""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("STILLWATCH_")} | {
            "STILLWATCH_KAFKA__BOOTSTRAP": self.bootstrap,
            "STILLWATCH_KAFKA__REQUEST_TIMEOUT_S": "10",
            "STILLWATCH_TOPICS__EVENTS": self.events,
            "STILLWATCH_TOPICS__FINGERPRINTS": self.fingerprints(group),
            "STILLWATCH_TOPICS__DEAD_LETTER": self.dead_letter,
            "STILLWATCH_TOPICS__REQUESTS": f"{self.name}.requests",
            "STILLWATCH_TOPICS__ACCOUNTS": f"{self.name}.accounts",
            "STILLWATCH_TOPICS__PARTITIONS": str(self.partitions),
            "STILLWATCH_WORKER__GROUP": f"{self.name}{group}",
            "STILLWATCH_WORKER__EMIT_EVERY_S": "0.2",
            "STILLWATCH_WORKER__DATA_DIR": str(self.directory / "worker"),
            "STILLWATCH_LOG__FORMAT": "json",
            **{f"STILLWATCH_WORKER__{name.upper()}": value for name, value in settings.items()},
            **({"STILLWATCH_FAULT": fault} if fault else {}),
        }
        with (self.directory / f"worker{group}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env=environ, stdout=log, stderr=log, cwd=Path(__file__).parents[2]
            )
        self._workers.append(process)
        return process

    def log(self, group: str = "") -> str:
        return (self.directory / f"worker{group}.log").read_text(errors="replace")[-3000:]

    def end(self) -> None:
        """End every worker that still runs."""
        for process in self._workers:
            if process.poll() is None:
                process.kill()
            process.wait(10)

    def send(self, batches: Sequence[tuple[int, pl.DataFrame | bytes]], *, transaction: str | None = None) -> None:
        """Send batches to their partitions, in order; ``transaction``: commit or abort, one for all of them."""
        options = {"transactional_id": f"{self.name}-sender"} if transaction else {}
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", **options)
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        for partition, batch in batches:
            value = batch if isinstance(batch, bytes) else encode_events(batch)
            producer.send(self.events, value=value, partition=partition, headers=[(VERSION_HEADER, EVENTS_VERSION)])
        producer.flush()
        if transaction == "commit":
            producer.commit_transaction()
        elif transaction == "abort":
            producer.abort_transaction()
        producer.close()

    def deltas(self, *, events: int, group: str = "", timeout_s: float = 45) -> list[Delta]:
        """The deltas that stand by the rule of the store, once they account for ``events``, duplicates included."""
        topic = self.fingerprints(group)
        partitions = [TopicPartition(topic, number) for number in range(self.partitions)]
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        consumer.assign(partitions)
        log = Log(topic)
        deadline = time.monotonic() + timeout_s
        try:
            while log.events < events and time.monotonic() < deadline:
                for partition, messages in consumer.poll(timeout_ms=200).items():
                    for message in messages:
                        log.add(partition.partition, message.offset, dict(message.headers).get(HEADER), message.value)
        finally:
            consumer.close()
        assert log.events == events, f"{log.events} of {events} events\n{self.log(group)}"
        return log.standing


class Log:
    """A fingerprints topic, replayed: rows from a delta's first offset on are removed, older generations ignored."""

    def __init__(self, topic: str) -> None:
        self._assembler = DeltaAssembler(topic)
        self._standing: dict[int, list[Delta]] = {}
        self._generation: dict[int, int] = {}

    def add(self, partition: int, offset: int, header: bytes | None, value: bytes) -> None:
        delta = self._assembler.add(partition, offset, header, value)
        if delta is None or delta.generation < self._generation.get(partition, -1):
            return
        self._generation[partition] = delta.generation
        if delta.from_offset == delta.to_offset:
            return
        before = [other for other in self._standing.get(partition, []) if other.from_offset < delta.from_offset]
        expected = before[-1].to_offset if before else 0
        assert delta.from_offset == expected, f"a hole or an overlap: {delta.from_offset} after {expected}"
        self._standing[partition] = [*before, delta]

    @property
    def standing(self) -> list[Delta]:
        return [delta for deltas in self._standing.values() for delta in deltas]

    @property
    def events(self) -> int:
        return sum(delta.events + delta.duplicates for delta in self.standing)


def merged(deltas: list[Delta]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Panes, links, distributions and loops of all deltas together."""
    return (
        merge_panes(*(delta.panes for delta in deltas)),
        merge_links(*(delta.links for delta in deltas)),
        merge_distributions(*(delta.distributions for delta in deltas)),
        merge_loops(*(delta.loops for delta in deltas)),
    )


@contextmanager
def bench(bootstrap: str, directory: Path, groups: tuple[str, ...] = ("",)) -> Iterator[Bench]:
    """Topics of their own, and no worker left behind."""
    made = Bench(bootstrap, f"w{time.monotonic_ns():x}", directory)
    made.create(groups)
    try:
        yield made
    finally:
        made.end()
