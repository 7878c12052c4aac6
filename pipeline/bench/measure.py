"""Each stage alone over made-up traffic, through a broker, with topics and a store of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import SecretStr

from pipeline.bench.steady import LIMIT_S, LOOK, BenchError, Share, Steady, finish, has_ended, steady, whole
from pipeline.broker import ensure_topics, kafka_options
from pipeline.broker.probe import admin_client
from pipeline.broker.topics import names
from pipeline.config import KafkaSettings, Place, Settings, StoreSettings, beside
from pipeline.config.tree import IngestSettings, TopicSettings, WorkerSettings
from pipeline.ingest.produce import open_sender
from pipeline.serve.client import ServeClient
from pipeline.simulate import plan
from pipeline.supervise import running_stage

SPAN: Final = timedelta(minutes=10)  # of event time
PARTITIONS: Final = 4
_LOADS_A_SECOND: Final = 1000  # events of scenario load, at a rate of 1
_MINUTES: Final = "select count(*) as rows from fingerprints_1m where kind = 'account'"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage alone, at a backlog: CPU-seconds per million events, events a second, MB at most."""

    cpu_s_per_million: float
    events_per_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on a machine. ``account_minutes``: rows of an account and minute that the events made."""

    day: str
    cores: int
    events: int
    accounts: int
    event_bytes: float
    account_minutes: int
    store_bytes: int
    stages: Mapping[str, Stage]


def measure(settings: Settings, *, events: int, accounts: int, say: Callable[[str], None]) -> Measured:
    """Send events to topics that are there for this only, let each stage do its work over them, and clean up.

    Nothing of the settings is used but how the broker is reached: no rule of a user, and no receiver of alerts.

    Raises:
        BrokerUnavailableError: nobody answers.
        BenchError: a stage does not get through.
    """
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as place:
        chosen = own_settings(settings.kafka, Path(place))
        with _topics(chosen):
            say(f"sending {events:,} events of {accounts:,} accounts")
            sent_bytes = _send(chosen, events, accounts)
            environ = environment(chosen)
            stages: dict[str, Stage] = {}
            for name, group, topic in (
                ("ingest", chosen.ingest.group, chosen.topics.requests),
                ("worker", chosen.worker.group, chosen.topics.events),
            ):
                say(name)
                with _running(name, environ, Path(place)) as process, _committed(chosen, group, topic) as done:
                    stages[name] = _stage(steady(name, [process], events, done))
                    finish(done)
            say("serve")
            with _running("serve", environ, Path(place)) as process:
                client = _answers(chosen.store.path, process)
                stages["serve"] = _stage(whole("serve", process, events, lambda: client.health().events / events))
                minutes = client.query(_MINUTES, max_rows=1, timeout_s=60).table.column("rows")[0].as_py()
        return Measured(
            day=f"{datetime.now(UTC):%Y-%m-%d}",
            cores=os.cpu_count() or 1,
            events=events,
            accounts=accounts,
            event_bytes=sent_bytes / events,
            account_minutes=int(minutes),
            store_bytes=beside(chosen.store.path).stat().st_size,
            stages=stages,
        )


def own_settings(kafka: KafkaSettings, place: Path) -> Settings:
    """Topics, groups and a store for one measurement, at the broker that is given."""
    mark = f"stillwatch.bench.{uuid.uuid4().hex[:8]}"
    topics = {name: f"{mark}.{name}" for name in ("requests", "accounts", "events", "fingerprints", "dead_letter")}
    return Settings(
        kafka=kafka,
        topics=TopicSettings(**topics, partitions=PARTITIONS),
        ingest=IngestSettings(group=f"{mark}.ingest"),
        # Emits oftener than by default: there is more to see between begin and end.
        worker=WorkerSettings(group=f"{mark}.worker", data_dir=place / "worker", emit_every_s=0.25),
        store=StoreSettings(path=place / "bench.duckdb"),
    )


def environment(settings: Settings) -> dict[str, str]:
    """What the stages are started with: these settings, and none that stand in this process's environment."""
    given = {
        "TOPICS": settings.topics,
        "INGEST": settings.ingest,
        "WORKER": settings.worker,
        "STORE": settings.store,
        "KAFKA": settings.kafka,
    }
    told = {"STILLWATCH_SERVE__LISTEN": "127.0.0.1:0", "STILLWATCH_LOG__LEVEL": "error"}
    for section, values in given.items():
        for name in sorted(values.model_fields_set):
            value = getattr(values, name)
            if value is not None:
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                plain = plain.absolute() if isinstance(plain, Path) else plain  # stages run elsewhere
                told[f"STILLWATCH_{section}__{name.upper()}"] = str(plain)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STILLWATCH_", "KAFKA_"))}
    return kept | told


@contextmanager
def _topics(settings: Settings) -> Iterator[None]:
    ensure_topics(settings)
    try:
        yield
    finally:
        # What a broker does not delete has a name that says what it was.
        with contextlib.suppress(KafkaError), admin_client(settings) as client:
            client.delete_topics(list(names(settings.topics)))


def _send(settings: Settings, events: int, accounts: int) -> int:
    rate = events / SPAN.total_seconds() / _LOADS_A_SECOND
    made = plan("load", seed=1, start=datetime.now(UTC) - SPAN, duration=SPAN, accounts=accounts, rate=rate)
    total = 0
    with open_sender(settings) as sender:
        for chunk in made.chunks():
            for value in chunk.messages():
                total += len(value)
                sender.send(value, [])
        sender.settle()
    return total


@contextmanager
def _running(name: str, environ: Mapping[str, str], place: Path) -> Iterator[psutil.Process]:
    """A stage in a process of its own; an error has the last that it said."""
    log = place / f"{name}.log"
    with running_stage(name, environ, log, cwd=place) as process:
        try:
            yield psutil.Process(process.pid)
        except BenchError as error:
            said = log.read_text(errors="replace").strip().splitlines()
            last = f"; it said: {said[-1][:500]}" if said else ""
            raise BenchError(f"{error.message}{last}", next_step=error.next_step) from None


@contextmanager
def _committed(settings: Settings, group: str, topic: str) -> Iterator[Share]:
    """How much of a topic a group has committed."""
    consumer = KafkaConsumer(**kafka_options(settings.kafka), group_id=group, enable_auto_commit=False)
    try:
        items = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        end = sum(consumer.end_offsets(items).values())
        yield lambda: sum(consumer.committed(item) or 0 for item in items) / max(1, end)
    finally:
        consumer.close()


def _answers(store: Place, process: psutil.Process) -> ServeClient:
    deadline = time.monotonic() + LIMIT_S
    while (client := ServeClient.find(store)) is None:
        if time.monotonic() > deadline or has_ended(process):
            raise BenchError("serve does not answer", next_step=LOOK)
        time.sleep(0.05)
    return client


def _stage(found: Steady) -> Stage:
    return Stage(round(found.cpu_s_per_million, 2), round(found.events_per_s), round(found.peak_mb))
