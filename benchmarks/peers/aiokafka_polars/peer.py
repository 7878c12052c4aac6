"""aiokafka's `getmany` and Polars, nothing kept between runs: the floor with another client."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

sys.path.insert(0, str(Path(__file__).parent.parent / "floor"))
import polars as pl
from polars_job import merged, partial, write

BATCH = 20_000


async def consume() -> None:
    wanted, topic = int(os.environ["EVENTS"]), os.environ["TOPIC"]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=os.environ["BOOTSTRAP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 << 20,
        fetch_max_bytes=64 << 20,
    )
    await consumer.start()
    partitions = await consumer._client.fetch_all_metadata()  # noqa: SLF001
    consumer.assign([TopicPartition(topic, number) for number in partitions.partitions_for_topic(topic)])
    parts: list[pl.DataFrame] = []
    came = 0
    while came < wanted:
        polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
        values = [record.value for records in polled.values() for record in records]
        if not values:
            continue
        if not came:
            print("begin", flush=True)
        came += len(values)
        parts.append(partial(values))
        if len(parts) >= 20:
            parts = [merged(parts)]
    result = merged(parts)
    print("end", flush=True)
    write(result, os.environ["OUT"])
    await consumer.stop()


asyncio.run(consume())
