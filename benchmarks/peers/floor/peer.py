"""The floor: librdkafka's consumer in batches, Polars, nothing kept between runs."""

from __future__ import annotations

import os

import polars as pl
from confluent_kafka import Consumer, TopicPartition
from polars_job import merged, partial, write

BATCH = 20_000


def main() -> None:
    wanted, topic = int(os.environ["EVENTS"]), os.environ["TOPIC"]
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BOOTSTRAP"],
            "group.id": "floor",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,  # its default leaves a fast consumer idle half of the time
            "queued.max.messages.kbytes": 262_144,
        }
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    parts: list[pl.DataFrame] = []
    came = 0
    while came < wanted:
        messages = consumer.consume(BATCH, timeout=0.2)
        if not messages:
            continue
        if not came:
            print("begin", flush=True)
        came += len(messages)
        parts.append(partial([message.value() for message in messages]))
        if len(parts) >= 20:
            parts = [merged(parts)]
    result = merged(parts)
    print("end", flush=True)
    write(result, os.environ["OUT"])
    consumer.close()


if __name__ == "__main__":
    main()
