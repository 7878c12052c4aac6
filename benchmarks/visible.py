"""From an event's sending to its being seen by SQL, at a steady rate, with default settings; what serve holds then.

Ten times a second one event of an account of its own goes out among the others; a reader asks for those accounts in
`fingerprints_1m`, as an analyst would, until it sees them. Sender, reader, broker and stages share the machine.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.fill import batches, producer
from benchmarks.load import KEYS, messages
from pipeline.serve.client import ServeClient
from tests.chaos.harness import Pipeline

Ints = npt.NDArray[np.int64]
Who = Callable[[np.random.Generator, Ints], Ints]  # whose the events of these numbers are
Spoil = Callable[[int, list[bytes]], list[bytes]]  # the tick and its messages, to what is sent; the first is a probe's

PROBED: Final = 10_000_000  # accounts from here on are those that are waited for
TICKS_PER_S: Final = 10
ASK_EVERY_S: Final = 0.5  # what a figure may be too large by; oftener, the questions are the load
STARTING_S: Final = 15.0  # what is sent before then waits for the groups to form and is not counted
GIVE_UP_AFTER_S: Final = 60.0
_ASK: Final = """
select distinct entity_id from fingerprints_1m
where kind = 'account' and entity_id in (select unnest($ids::varchar[])) and window_start >= $since::timestamptz
"""


def few_are_busy(source: np.random.Generator, number: Ints) -> Ints:
    """20,000 accounts by Zipf, as the rest of the benchmark."""
    return (source.zipf(1.2, len(number)) - 1) % KEYS


def all_are_active(_source: np.random.Generator, number: Ints) -> Ints:
    """100,000 accounts in turn: every one of them every few seconds, the worst that so many can do."""
    return number % 100_000


@dataclass(frozen=True, slots=True)
class Visible:
    """Seconds from sending to SQL; MB at most of each stage; cores that the three used together."""

    who: str
    events_per_s: float
    probes: int
    p50_s: float
    p99_s: float
    longest_s: float
    serve_peak_mb: float
    stages_cores: float
    ingest_peak_mb: float
    worker_peak_mb: float


class Counted:
    """Counts what its senders send."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, _tick: int, values: list[bytes]) -> list[bytes]:
        """The tick's messages, as they are."""
        self.sent += len(values)
        return values


@dataclass(slots=True)
class SteadySender:
    """Sends at a steady rate from a thread of its own; ``sent_s`` says when each probe went out.

    ``first``: number of its first event, and of its first probe; two senders to one store have none in common.
    """

    pipeline: Pipeline
    rate: int
    seconds: int
    who: Who
    spoil: Spoil | None = None
    first: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    sent_s: dict[str, float] = field(default_factory=dict)
    took_s: float = 0.0

    def run(self) -> None:
        """Send everything, confirmed."""
        asyncio.run(self._send())

    async def _send(self) -> None:
        made = producer(self.pipeline.bootstrap)
        await made.start()
        source = np.random.default_rng(1 + self.first)
        begun = time.monotonic()
        sent, futures = 0, []
        for tick in range(self.seconds * TICKS_PER_S):
            if self.stop.is_set():
                break
            # Independent requests, as of many customers: an even beat would be one large pool of workers to the rules.
            each = int(source.poisson(self.rate / TICKS_PER_S))
            number = np.arange(sent, sent + each) + self.first
            sent += each
            key = self.who(source, number)
            probe = PROBED + self.first + tick
            key[0] = probe
            values = messages(number, key, datetime.now(UTC), np.zeros(each, dtype=np.int64), source)
            values = values if self.spoil is None else self.spoil(tick, values)
            await asyncio.sleep(max(0.0, begun + tick / TICKS_PER_S - time.monotonic()))
            self.sent_s[f"acct_{probe:08d}"] = time.monotonic()
            partitions = self.pipeline.partitions
            futures = [
                await made.send_batch(batch, self.pipeline.requests, partition=(tick + row) % partitions)
                for row in range(partitions)
                for batch in batches(made, values[row::partitions])
            ]
        await asyncio.gather(*futures)
        await made.stop()
        self.took_s = time.monotonic() - begun


def follow(
    sender: SteadySender,
    client: ServeClient,
    look: Callable[[], None],
    give_up_after_s: float = GIVE_UP_AFTER_S,
) -> dict[str, float]:
    """Send, and ask until every probe was seen; return how long each took. ``look`` is called at each question."""
    since = datetime.now(UTC).replace(second=0, microsecond=0).isoformat()
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    waited: dict[str, float] = {}
    while thread.is_alive() or len(waited) < len(sender.sent_s):
        asked_s = time.monotonic()
        open_probes = [name for name in list(sender.sent_s) if name not in waited]
        oldest_s = min((sender.sent_s[name] for name in open_probes), default=asked_s)
        if asked_s - oldest_s > give_up_after_s:
            raise SystemExit(f"an event sent {asked_s - oldest_s:.0f} s ago is not in the store")
        seen = client.query(_ASK, {"ids": open_probes, "since": since}, max_rows=10_000, timeout_s=30)
        now_s = time.monotonic()
        waited |= {name: now_s - sender.sent_s[name] for name in map(str, seen.table.column("entity_id").to_pylist())}
        look()
        time.sleep(max(0.0, asked_s + ASK_EVERY_S - now_s))
    return waited


def measure_visible(
    pipeline: Pipeline,
    client: ServeClient,
    *,
    who: Who,
    rate: int = 10_000,
    seconds: int = 60,
    spoil: Spoil | None = None,
) -> Visible:
    """Send and look; all stages run."""
    names = ("ingest", "worker", "serve")
    processes = {name: psutil.Process(pid) for name, pid in zip(names, pipeline.pids(*names), strict=True)}
    before_s = sum(sum(process.cpu_times()[:2]) for process in processes.values())
    sender = SteadySender(pipeline, rate, seconds, who, spoil)
    begun = time.monotonic()
    peaks_mb = dict.fromkeys(names, 0.0)

    def look() -> None:
        for name, one in processes.items():
            peaks_mb[name] = max(peaks_mb[name], one.memory_info().rss / 1e6)

    waited = follow(sender, client, look)
    took_s = time.monotonic() - begun
    cores = (sum(sum(process.cpu_times()[:2]) for process in processes.values()) - before_s) / took_s
    steady = [s for name, s in waited.items() if sender.sent_s[name] >= begun + STARTING_S]
    p50_s, p99_s = np.quantile(steady, [0.5, 0.99])
    return Visible(
        who=who.__name__,
        events_per_s=rate * seconds / sender.took_s,
        probes=len(steady),
        p50_s=float(p50_s),
        p99_s=float(p99_s),
        longest_s=max(steady),
        serve_peak_mb=peaks_mb["serve"],
        stages_cores=cores,
        ingest_peak_mb=peaks_mb["ingest"],
        worker_peak_mb=peaks_mb["worker"],
    )
