"""Loads that nobody wishes for, at a steady rate over Apache Kafka: `python -m benchmarks.bad_days [NAME …]`.

Each runs through all three stages with default settings. Ten times a second one ordinary event goes out among the
others, and how long it takes into SQL is what the rest sees of the bad ones. All that was sent has to be in the store
or among the dead letters at the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.__main__ import DEFAULTS
from benchmarks.load import KEYS
from benchmarks.results import record
from benchmarks.stages import serve_answers
from benchmarks.visible import PROBED, TICKS_PER_S, Ints, Spoil, Who, few_are_busy, measure_visible
from pipeline.ingest.outbound import account_partition
from pipeline.serve.client import ServeClient
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
LARGE_BYTES: Final = 1_000_000
SETTLES_WITHIN_S: Final = 60.0
_JUNK: Final = (b"", b"\xff\xfe\x00", b'{"event_id": "cut', b"[]", b'{"event_id": 1, "timestamp": "yesterday"}')


def one_account(source: np.random.Generator, number: Ints) -> Ints:
    """Nine tenths of all events are of one account."""
    return np.where(source.random(len(number)) < 0.9, 0, few_are_busy(source, number))


def new_accounts(_source: np.random.Generator, number: Ints) -> Ints:
    """Every event is of another account."""
    return number % PROBED


_COLLIDING: Final = np.array([key for key in range(KEYS) if not account_partition(f"acct_{key:08}", PARTITIONS)])


def one_partition(source: np.random.Generator, number: Ints) -> Ints:
    """Accounts that all fall into one partition."""
    return _COLLIDING[few_are_busy(source, number) % len(_COLLIDING)]


def broken_tenth(tick: int, values: list[bytes]) -> list[bytes]:
    """Each tenth message is none that can be read."""
    return [_JUNK[(tick + row) % len(_JUNK)] if row % 10 == 5 else value for row, value in enumerate(values)]


class Large:
    """Once a second an event with a million bytes of text."""

    def __init__(self) -> None:
        words = np.random.default_rng(1).integers(0, 50_000, LARGE_BYTES // 8)
        self._text = " ".join(f"word{word}" for word in words)[: LARGE_BYTES - 1000]

    def __call__(self, tick: int, values: list[bytes]) -> list[bytes]:
        """The tick's messages with one more."""
        if tick % TICKS_PER_S:
            return values
        event = {
            "event_id": f"large_{tick}",
            "timestamp": datetime.now(UTC).isoformat(),
            "account_id": f"large_{tick % 50}",
            "model": "m",
            "prompt": self._text[tick % 997 :],
        }
        return [*values, json.dumps(event).encode()]


LOADS: Final[dict[str, tuple[Who, Spoil | None]]] = {
    "ordinary": (few_are_busy, None),
    broken_tenth.__name__: (few_are_busy, broken_tenth),
    one_account.__name__: (one_account, None),
    new_accounts.__name__: (new_accounts, None),
    one_partition.__name__: (one_partition, None),
    "large_events": (few_are_busy, Large()),
}


def main() -> None:
    """Run each load with processes and topics of its own; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(LOADS)}; all when omitted")
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    rows = list(_runs(options.names or list(LOADS), options.rate, options.seconds))
    if options.record:
        record("bad_days", {"rate": options.rate, "seconds": options.seconds, "loads": rows})


def _runs(names: list[str], rate: int, seconds: int) -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as place:
        kafka = KafkaServer(Path(place))
        kafka.start()
        try:
            for name in names:
                directory = Path(place) / name
                directory.mkdir()
                pipeline = Pipeline(kafka.bootstrap, directory, name, PARTITIONS, DEFAULTS)
                row: dict[str, object] = {"name": name, **_run(pipeline, *LOADS[name], rate, seconds)}
                print(row, flush=True)
                yield row
        finally:
            kafka.stop()


def _run(pipeline: Pipeline, who: Who, spoil: Spoil | None, rate: int, seconds: int) -> dict[str, object]:
    sent = 0

    def counted(tick: int, values: list[bytes]) -> list[bytes]:
        nonlocal sent
        made = values if spoil is None else spoil(tick, values)
        sent += len(made)
        return made

    try:
        pipeline.spawn("serve")
        client = serve_answers(pipeline)
        for stage in ("ingest", "worker"):
            pipeline.spawn(stage)
        seen = measure_visible(pipeline, client, who=who, rate=rate, seconds=seconds, spoil=counted)
        stored, dead = settled(client, sent)
        if stored + dead != sent or pipeline.died():
            raise SystemExit(f"{sent:,} sent, {stored:,} in the store, {dead:,} dead letters, ended: {pipeline.died()}")
    finally:
        pipeline.close()
    return {**asdict(seen), "sent": sent, "dead_letters": dead}


def settled(client: ServeClient, sent: int, within_s: float = SETTLES_WITHIN_S) -> tuple[int, int]:
    """Events and dead letters in the store, once they are as many as were sent or a while has passed."""
    deadline = time.monotonic() + within_s
    while True:
        health = client.health()
        if health.events + health.dead_letters >= sent or time.monotonic() > deadline:
            return health.events, health.dead_letters
        time.sleep(0.2)


if __name__ == "__main__":
    main()
