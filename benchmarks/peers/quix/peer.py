"""Quix Streams: a keyed tumbling window with its own aggregations and one reducer for distinct addresses."""

from __future__ import annotations

import csv
import os
from datetime import datetime, timedelta
from pathlib import Path

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Reduce, Sum

results: list[tuple[object, ...]] = []
came = ended = 0


def when_us(event: dict) -> int:
    return round(datetime.fromisoformat(event["timestamp"]).timestamp() * 1e6)


def event_time(value: dict, _headers: object, _timestamp: int, _kind: object) -> int:
    return when_us(value) // 1000


def see(event: dict) -> None:
    global came, ended  # noqa: PLW0603
    if not came:
        print("begin", flush=True)
    came += 1
    if event["account_id"].startswith("end_"):
        ended += 1
        if ended == int(os.environ["PARTITIONS"]):
            app.stop()


def main() -> None:
    topic = app.topic(
        os.environ["TOPIC"],
        key_deserializer="str",
        value_deserializer="json",
        timestamp_extractor=event_time,
    )
    frame = app.dataframe(topic)
    windows = (
        frame.tumbling_window(timedelta(minutes=1))
        .agg(
            events=Count(),
            input_tokens=Sum("input_tokens"),
            output_tokens=Sum("output_tokens"),
            ips=Reduce(
                initializer=lambda event: [event["ip"]],
                reducer=lambda ips, event: ips if event["ip"] in ips else [*ips, event["ip"]],
            ),
            first=Reduce(initializer=when_us, reducer=lambda old, event: min(old, when_us(event))),
            last=Reduce(initializer=when_us, reducer=lambda old, event: max(old, when_us(event))),
        )
        .final(closing_strategy="partition")
    )
    windows.update(keep, metadata=True)
    frame.update(see)
    app.run()
    print("end", flush=True)
    with Path(os.environ["OUT"]).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["account_id", "window", "events", "input_tokens", "output_tokens", "ips", "first", "last"])
        rows.writerows(results)


def keep(window: dict, key: str, _timestamp: int, _headers: object) -> None:
    results.append(
        (
            key,
            window["start"] * 1000,
            window["events"],
            window["input_tokens"],
            window["output_tokens"],
            len(window["ips"]),
            window["first"],
            window["last"],
        )
    )


if __name__ == "__main__":
    app = Application(
        broker_address=os.environ["BOOTSTRAP"],
        consumer_group=f"quix-{os.environ['RUN']}",
        auto_offset_reset="earliest",
        state_dir=os.environ["SCRATCH"],
        loglevel="WARNING",
        commit_interval=1.0,
    )
    main()
