"""Pathway: two groupings, by address and by account, over the topic up to its end."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pathway as pw


class Event(pw.Schema):
    timestamp: str
    account_id: str
    input_tokens: int
    output_tokens: int
    ip: str


def main() -> None:
    events = pw.io.kafka.read(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            "group.id": f"pathway-{os.environ['RUN']}",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": "10",
        },
        topic=os.environ["TOPIC"],
        schema=Event,
        format="json",
        mode="static",
        autocommit_duration_ms=1000,
    )
    when = pw.this.timestamp.dt.strptime("%Y-%m-%dT%H:%M:%S%.fZ").dt.timestamp(unit="us")
    timed = events.with_columns(when=pw.cast(int, when))
    windowed = timed.with_columns(window=pw.this.when // 60_000_000 * 60_000_000)
    of_address = windowed.groupby(pw.this.account_id, pw.this.window, pw.this.ip).reduce(
        pw.this.account_id,
        pw.this.window,
        events=pw.reducers.count(),
        input_tokens=pw.reducers.sum(pw.this.input_tokens),
        output_tokens=pw.reducers.sum(pw.this.output_tokens),
        first=pw.reducers.min(pw.this.when),
        last=pw.reducers.max(pw.this.when),
    )
    found = of_address.groupby(pw.this.account_id, pw.this.window).reduce(
        pw.this.account_id,
        pw.this.window,
        events=pw.reducers.sum(pw.this.events),
        input_tokens=pw.reducers.sum(pw.this.input_tokens),
        output_tokens=pw.reducers.sum(pw.this.output_tokens),
        ips=pw.reducers.count(),
        first=pw.reducers.min(pw.this.first),
        last=pw.reducers.max(pw.this.last),
    )
    rows: dict[object, dict[str, object]] = {}

    def see(key: object, row: dict[str, object], time: int, is_addition: bool) -> None:  # noqa: ARG001
        if is_addition:
            rows[key] = row
        elif rows.get(key) == row:
            del rows[key]

    pw.io.subscribe(found, see)
    print("begin", flush=True)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    print("end", flush=True)
    with Path(os.environ["OUT"]).open("w", newline="") as file:
        names = ["account_id", "window", "events", "input_tokens", "output_tokens", "ips", "first", "last"]
        out = csv.DictWriter(file, names)
        out.writeheader()
        out.writerows(rows.values())


if __name__ == "__main__":
    main()
