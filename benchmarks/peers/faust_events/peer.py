"""Faust as its documents show it: an event a message, a windowed table with its changelog."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import faust

app = faust.App(
    f"faust-{os.environ['RUN']}",
    broker="kafka://" + os.environ["BOOTSTRAP"],
    store="memory://",
    datadir=os.environ["SCRATCH"],
    topic_partitions=int(os.environ["PARTITIONS"]),
    topic_replication_factor=1,
    consumer_auto_offset_reset="earliest",
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
    web_enabled=False,
    worker_redirect_stdouts=False,
)


class Event(faust.Record, serializer="json", coerce=True, date_parser=datetime.fromisoformat):
    timestamp: datetime
    account_id: str
    input_tokens: int
    output_tokens: int
    ip: str


topic = app.topic(os.environ["TOPIC"], key_type=str, key_serializer="raw", value_type=Event)
windows = (
    app.Table("windows", default=list, partitions=int(os.environ["PARTITIONS"]))
    .tumbling(60.0, expires=timedelta(hours=6))
    .relative_to_field(Event.timestamp)
)
came = ended = 0


@app.agent(topic)
async def count(events: faust.Stream) -> None:
    global came, ended  # noqa: PLW0603
    async for event in events:
        if not came:
            print("begin", file=sys.__stdout__, flush=True)  # Faust takes the other one for its log
        came += 1
        if event.account_id.startswith("end_"):
            ended += 1
            if ended == int(os.environ["PARTITIONS"]):
                finish()
            continue
        old = windows[event.account_id].value()
        us = round(event.timestamp.timestamp() * 1e6)
        if not old:
            new = [1, event.input_tokens, event.output_tokens, [event.ip], us, us]
        else:
            ips = old[3] if event.ip in old[3] else [*old[3], event.ip]
            new = [
                old[0] + 1,
                old[1] + event.input_tokens,
                old[2] + event.output_tokens,
                ips,
                min(old[4], us),
                max(old[5], us),
            ]
        windows[event.account_id] = new


def finish() -> None:
    print("end", file=sys.__stdout__, flush=True)
    with Path(os.environ["OUT"]).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["account_id", "window", "events", "input_tokens", "output_tokens", "ips", "first", "last"])
        for (account, window), value in windows.table.items():
            rows.writerow([account, round(window[0] * 1e6), *value[:3], len(value[3]), *value[4:]])
    os._exit(0)


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    sys.argv = ["peer", "worker", "-l", "warn", "--without-web"]
    app.main()
