"""The same topic and the same job for each contender, in one run: `python -m benchmarks.peers [NAME …]`.

Job J: per account and minute of event time the number of events, two sums of tokens, distinct addresses, first and
last time. A contender is a program in a directory of its own, with requirements that never touch the product's: it
gets BOOTSTRAP, TOPIC, PARTITIONS, EVENTS, OUT, SCRATCH and RUN, prints ``begin`` with the first event and ``end`` once
all are counted, and writes what it counted. Its CPU time is read from outside between the two, and counts only where
the result is that of a batch over what was sent. Each partition ends with one event an hour later, which closes
windows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import polars as pl
import psutil
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from benchmarks.fill import BATCH_BYTES
from benchmarks.load import load
from benchmarks.peers import own
from benchmarks.peers.install import NotInstalledError, command, contenders
from benchmarks.results import record
from pipeline.ingest.outbound import account_partition
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
TOPIC: Final = "job.requests"
# The slow ones get less: what is measured is a cost an event.
MOST: Final = {"faust_events": 100_000, "quix": 300_000, "bytewax": 300_000}
LIMIT_S: Final = 240.0
OWN: Final = "stillwatch"
OWN_JOB: Final = "stillwatch_job"
JOB: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "window": pl.Int64(),
        "events": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "ips": pl.Int64(),
        "first": pl.Int64(),
        "last": pl.Int64(),
    }
)


class NotThroughError(Exception):
    """A contender ended without a result; the others go on."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of one contender. ``wrong``: rows of the result that are not those of the batch, of so many."""

    name: str
    events: int
    cpu_s_per_million: float
    events_per_s: float
    peak_mb: float
    wrong: int
    rows: int


def batch(events: Sequence[bytes]) -> pl.DataFrame:
    """What each contender ought to find."""
    columns = {"timestamp": pl.String, "account_id": pl.String, "ip": pl.String}
    tokens = {"input_tokens": pl.Int64, "output_tokens": pl.Int64}
    frame = pl.read_ndjson(b"\n".join(events), schema={**columns, **tokens})
    when = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us").dt.epoch("us")
    return (
        frame.with_columns(when=when)
        .with_columns(window=pl.col("when") // 60_000_000 * 60_000_000)
        .group_by("account_id", "window")
        .agg(
            events=pl.len().cast(pl.Int64),
            input_tokens=pl.col("input_tokens").sum(),
            output_tokens=pl.col("output_tokens").sum(),
            ips=pl.col("ip").n_unique().cast(pl.Int64),
            first=pl.col("when").min(),
            last=pl.col("when").max(),
        )
    )


def differing(expected: pl.DataFrame, found: pl.DataFrame) -> int:
    """Rows that are missing, and rows that are too many, doubled ones among them."""
    right = expected.join(found.unique(), on=JOB.names(), how="semi").height
    return expected.height - right + found.height - right


async def send(bootstrap: str, topic: str, events: Sequence[bytes]) -> None:
    """All of it in lz4 batches, keyed and partitioned by account, in order; then what closes windows."""
    accounts = pl.read_ndjson(b"\n".join(events), schema={"account_id": pl.String})["account_id"]
    targets = {account: account_partition(account, PARTITIONS) for account in accounts.unique()}
    partition = np.array([targets[account] for account in accounts])
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="lz4", max_batch_size=BATCH_BYTES
    )
    await producer.start()
    try:
        for number in range(PARTITIONS):
            end = {"timestamp": later, "account_id": f"end_{number}", "input_tokens": 0, "output_tokens": 0, "ip": "-"}
            rows = np.flatnonzero(partition == number).tolist()
            pairs = [(accounts[row].encode(), events[row]) for row in rows]
            pairs.append((f"end_{number}".encode(), json.dumps(end).encode()))
            made = producer.create_batch()
            for key, value in pairs:
                if made.append(key=key, value=value, timestamp=None) is None:
                    await (await producer.send_batch(made, topic, partition=number))
                    made = producer.create_batch()
                    made.append(key=key, value=value, timestamp=None)
            await (await producer.send_batch(made, topic, partition=number))
    finally:
        await producer.stop()


def contend(name: str, bootstrap: str, topic: str, expected: pl.DataFrame, events: int) -> Ran:
    """Run one contender over a topic."""
    words = command(name)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.csv"
        told = {
            "BOOTSTRAP": bootstrap,
            "TOPIC": topic,
            "PARTITIONS": str(PARTITIONS),
            "EVENTS": str(events + PARTITIONS),
            "OUT": str(out),
            "SCRATCH": scratch,
            "RUN": uuid.uuid4().hex[:8],
        }
        process = subprocess.Popen(words, env=os.environ | told, stdout=subprocess.PIPE, text=True)
        late = threading.Timer(LIMIT_S, process.kill)
        late.start()
        try:
            used_s, took_s, peak_mb = _between(process)
            if process.wait(LIMIT_S):
                raise NotThroughError(f"ended with {process.returncode}")
        finally:
            late.cancel()
            process.kill()
            process.wait()
        found = pl.read_csv(out, schema=JOB).filter(~pl.col("account_id").str.starts_with("end_"))
    wrong = differing(expected, found)
    return Ran(name, events, used_s / events * 1e6, events / took_s, peak_mb, wrong, expected.height)


def product(name: str, bootstrap: str, topic: str, expected: pl.DataFrame, events: int) -> Ran:
    """Run Stillwatch over a topic: the job alone, or with everything that it does."""
    settings = own.job_only() if name == OWN_JOB else {}
    found, used_s, took_s, peak_mb = own.run(bootstrap, topic, PARTITIONS, events, settings)
    print("  " + ", ".join(f"{name} {cpu / events * 1e6:.1f}" for name, cpu in used_s.items()), flush=True)
    wrong = differing(expected, found.cast(JOB))
    return Ran(name, events, sum(used_s.values()) / events * 1e6, events / took_s, peak_mb, wrong, expected.height)


def _between(process: subprocess.Popen[str]) -> tuple[float, float, float]:
    assert process.stdout is not None
    watched = psutil.Process(process.pid)
    begun: tuple[float, float] | None = None
    for line in process.stdout:
        peak_mb = watched.memory_info().rss / 1e6
        now = sum(watched.cpu_times()[:2]), time.monotonic()
        if line.strip() == "begin":
            begun = now
        elif line.strip() == "end" and begun is not None:
            return now[0] - begun[0], now[1] - begun[1], peak_mb
    raise NotThroughError(f"ended without having counted: {process.wait()}")


def main() -> None:
    """Run those that are asked for, in turns, and print a table."""
    every = [OWN, OWN_JOB, *contenders()]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(every)}; all when omitted")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    asked = parser.parse_args()
    names = asked.names or every
    runs: list[Ran] = []
    with tempfile.TemporaryDirectory() as directory:
        kafka = KafkaServer(Path(directory))
        kafka.start()
        try:
            topics: dict[int, tuple[str, pl.DataFrame]] = {}
            for events in sorted({min(asked.events, MOST.get(name, asked.events)) for name in names}):
                print(f"sending {events:,} events …", flush=True)
                made = [message for chunk in load(events) for message in chunk]
                topic = f"{TOPIC}.{events}"
                admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
                admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
                admin.close()
                asyncio.run(send(kafka.bootstrap, topic, made))
                topics[events] = topic, batch(made)
            for _ in range(asked.times):
                for name in names:
                    events = min(asked.events, MOST.get(name, asked.events))
                    topic, expected = topics[events]
                    try:
                        if name in {OWN, OWN_JOB}:
                            ran = product(name, kafka.bootstrap, topic, expected, events)
                        else:
                            ran = contend(name, kafka.bootstrap, topic, expected, events)
                    except (NotThroughError, NotInstalledError) as error:
                        print(f"  {name}: {error}", flush=True)
                        continue
                    print(f"  {ran}", flush=True)
                    runs.append(ran)
        finally:
            kafka.stop()
    for name in names:
        mine = [run for run in runs if run.name == name]
        if not mine:
            print(f"{name:<16} did not get through, see above")
            continue
        costs = sorted(run.cpu_s_per_million for run in mine)
        wrong = max(run.wrong for run in mine)
        if wrong:
            print(f"{name:<16} no time counts: {wrong:,} rows are wrong, of {mine[0].rows:,}")
            continue
        print(
            f"{name:<16} {median(costs):>7.1f} CPU-s/million ({costs[0]:.1f} to {costs[-1]:.1f})"
            f"  {median(run.events_per_s for run in mine):>9,.0f} events/s"
            f"  {max(run.peak_mb for run in mine):>6,.0f} MB"
        )
    if asked.record:
        record("peers", {"runs": [asdict(run) for run in runs]})


if __name__ == "__main__":
    main()
