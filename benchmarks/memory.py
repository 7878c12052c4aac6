"""What each stage holds with a million accounts active in an hour: `python -m benchmarks.memory [NAME …]`.

First a backlog, an hour of event time in which each account sends a few requests, through all stages at once; then a
steady rate over the same accounts. With default settings, with those that lower memory, and with more for the store.
Rules that failed for want of memory are named.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.__main__ import DEFAULTS
from benchmarks.bad_days import settled
from benchmarks.fill import fill
from benchmarks.load import messages
from benchmarks.results import record
from benchmarks.stages import serve_answers
from benchmarks.visible import Counted, Ints, SteadySender
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
STAGES: Final = ("ingest", "worker", "serve")
SETTINGS: Final[dict[str, dict[str, str]]] = {
    "default": {},
    "low": {
        "STILLWATCH_INGEST__BUFFER_BYTES": "8388608",
        "STILLWATCH_INGEST__POLL_RECORDS": "5000",
        "STILLWATCH_WORKER__EMIT_EVENTS": "20000",
        "STILLWATCH_WORKER__DEDUP_IDS": "250000",
        "STILLWATCH_STORE__MEMORY_LIMIT_MB": "512",
    },
    "more for the store": {"STILLWATCH_STORE__MEMORY_LIMIT_MB": "4096"},
}
SETTLES_WITHIN_S: Final = 400.0
_FAILED: Final = "select rule_id, reason from rule_health where failures > 0 order by rule_id"
_ACTIVE: Final = "select count(*) as accounts from accounts where last_seen > now() - interval 1 hour"


class Peaks:
    """The most that each process held since the last look, from a thread of its own."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        self._most = dict.fromkeys(processes, 0.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def take(self) -> dict[str, float]:
        """MB each; begins anew."""
        found, self._most = self._most, dict.fromkeys(self._processes, 0.0)
        return found

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for stage, process in self._processes.items():
                self._most[stage] = max(self._most[stage], process.memory_info().rss / 1e6)


def main() -> None:
    """Run with each set of settings, with topics and a store of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(SETTINGS)}; all when omitted")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=3_000_000, help="of the backlog")
    parser.add_argument("--rate", type=int, default=10_000, help="events a second of the steady part")
    parser.add_argument("--seconds", type=int, default=90, help="how long the steady part lasts")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        kafka = KafkaServer(Path(place))
        kafka.start()
        try:
            for number, name in enumerate(options.names or SETTINGS):
                directory = Path(place) / f"run{number}"
                directory.mkdir()
                extra = DEFAULTS | SETTINGS[name]
                pipeline = Pipeline(kafka.bootstrap, directory, f"memory{number}", PARTITIONS, extra)
                rows.append({"name": name, "settings": SETTINGS[name], **_run(pipeline, options)})
                print(rows[-1], flush=True)
        finally:
            kafka.stop()
    if options.record:
        what = ("accounts", "events", "rate", "seconds")
        record("memory", {name: getattr(options, name) for name in what} | {"rows": rows})


def hour(events: int, accounts: int, *, chunk: int = 100_000) -> Iterator[list[bytes]]:
    """A backlog of an hour of event time that ends now; every account sends, in turn."""
    start = datetime.now(UTC) - timedelta(hours=1)
    step_us = 3600e6 / events
    source = np.random.default_rng(7)
    for done in range(0, events, chunk):
        number = np.arange(done, min(done + chunk, events))
        yield messages(number, number % accounts, start, (number * step_us).astype(np.int64), source)


def _run(pipeline: Pipeline, options: argparse.Namespace) -> dict[str, Any]:
    accounts = options.accounts

    def any_account(source: np.random.Generator, number: Ints) -> Ints:
        return source.integers(0, accounts, len(number))

    counted = Counted()
    try:
        pipeline.spawn("serve")
        client = serve_answers(pipeline)
        fill(pipeline.bootstrap, pipeline.requests, PARTITIONS, hour(options.events, accounts))
        for stage in ("ingest", "worker"):
            pipeline.spawn(stage)
        peaks = Peaks({stage: psutil.Process(pipeline.pids(stage)[0]) for stage in STAGES})
        begun = time.monotonic()
        settled(client, options.events, within_s=SETTLES_WITHIN_S)
        backlog_s, backlog = time.monotonic() - begun, peaks.take()
        sender = SteadySender(pipeline, options.rate, options.seconds, any_account, counted, first=1_000_000_000)
        sender.run()
        sent = options.events + counted.sent
        stored, dead = settled(client, sent, within_s=SETTLES_WITHIN_S)
        steady = peaks.take()
        peaks.close()
        active = client.query(_ACTIVE, max_rows=1, timeout_s=60).table.column("accounts")[0].as_py()
        failed = client.query(_FAILED, max_rows=1000, timeout_s=60).table.to_pylist()
        if stored + dead != sent or pipeline.died():
            raise SystemExit(f"{sent:,} sent, {stored:,} stored, {dead:,} dead letters, ended: {pipeline.died()}")
    finally:
        pipeline.close()
    return {
        "active_accounts": active,
        "backlog_s": backlog_s,
        "backlog_mb": backlog,
        "steady_mb": steady,
        "sent": sent,
        "rules_failed": [row["rule_id"] for row in failed],
        "why": sorted({str(row["reason"])[:200] for row in failed}),
    }


if __name__ == "__main__":
    main()
