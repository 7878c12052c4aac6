"""Bytewax: batches of messages read by one operator, a keyed fold over tumbling windows."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
rows: list[tuple[str, int, Sum]] = []
begun = False


@dataclass
class Event:
    when: datetime
    input_tokens: int
    output_tokens: int
    ip: str


@dataclass
class Sum:
    events: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    first: datetime | None = None
    last: datetime | None = None
    ips: set[str] = field(default_factory=set)


def read(messages: list) -> list[tuple[str, Event]]:
    global begun  # noqa: PLW0603
    if not begun:
        begun = True
        print("begin", flush=True)
    found = []
    for message in messages:
        event = json.loads(message.value)
        when = datetime.fromisoformat(event["timestamp"])
        found.append((event["account_id"], Event(when, event["input_tokens"], event["output_tokens"], event["ip"])))
    return found


def add(total: Sum, event: Event) -> Sum:
    total.events += 1
    total.input_tokens += event.input_tokens
    total.output_tokens += event.output_tokens
    total.first = event.when if total.first is None else min(total.first, event.when)
    total.last = event.when if total.last is None else max(total.last, event.when)
    total.ips.add(event.ip)
    return total


def merge(one: Sum, other: Sum) -> Sum:
    raise NotImplementedError  # windows do not overlap


class Kept(StatelessSinkPartition):
    def write_batch(self, items: list[tuple[str, tuple[int, Sum]]]) -> None:
        rows.extend((account, window, total) for account, (window, total) in items)


class Keeps(DynamicSink):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Kept:  # noqa: ARG002
        return Kept()


def us(when: datetime) -> int:
    return (when - EPOCH) // timedelta(microseconds=1)


def main() -> None:
    flow = Dataflow("job")
    source = KafkaSource(
        [os.environ["BOOTSTRAP"]],
        [os.environ["TOPIC"]],
        tail=False,
        batch_size=10_000,  # by default one message at a time
        add_config={"fetch.queue.backoff.ms": "10"},
    )
    messages = op.input("kafka", flow, source)
    events = op.flat_map_batch("read", messages, read)
    # Partitions are read in turns, ten thousand messages each: two minutes lose nothing of the others.
    clock = EventClock(lambda event: event.when, wait_for_system_duration=timedelta(minutes=2))
    windower = TumblingWindower(length=timedelta(minutes=1), align_to=EPOCH)
    windows = win.fold_window("sum", events, clock, windower, Sum, add, merge, ordered=False)
    op.output("keep", windows.down, Keeps())
    run_main(flow)
    print("end", flush=True)
    with Path(os.environ["OUT"]).open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["account_id", "window", "events", "input_tokens", "output_tokens", "ips", "first", "last"])
        for account, window, total in rows:
            assert total.first is not None
            assert total.last is not None
            out.writerow(
                (
                    account, window * 60_000_000, total.events, total.input_tokens, total.output_tokens,
                    len(total.ips), us(total.first), us(total.last),
                )
            )  # fmt: skip


if __name__ == "__main__":
    main()
