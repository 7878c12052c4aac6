"""Puts many messages on a topic quickly, confirmed, in whole batches; says which members share a group's partitions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from pipeline.broker.probe import admin_client
from pipeline.config import Settings
from pipeline.config.tree import KafkaSettings
from pipeline.errors import BrokerUnavailableError

BATCH_BYTES: Final = 262_144
FORMS_WITHIN_S: Final = 60.0


def producer(bootstrap: str, batch_bytes: int = BATCH_BYTES) -> AIOKafkaProducer:
    """One that is asked for whole batches: one message a call would cost it more than what is measured costs."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type="lz4",
        max_batch_size=batch_bytes,
        max_request_size=max(1_048_576, batch_bytes * 2),
    )


def batches(made: AIOKafkaProducer, values: Sequence[bytes]) -> Iterator[BatchBuilder]:
    """The values as batches, each as large as it may be."""
    batch = made.create_batch()
    for value in values:
        if batch.append(key=None, value=value, timestamp=None) is None:
            yield batch
            batch = made.create_batch()
            batch.append(key=None, value=value, timestamp=None)
    if batch.record_count():
        yield batch


def fill(bootstrap: str, topic: str, partitions: int, chunks: Iterable[Sequence[bytes]]) -> int:
    """Send all of it, spread over the partitions; return how many messages that was."""
    return asyncio.run(_fill(bootstrap, topic, partitions, chunks))


async def _fill(bootstrap: str, topic: str, partitions: int, chunks: Iterable[Sequence[bytes]]) -> int:
    made = producer(bootstrap)
    await made.start()
    sent = 0
    try:
        for values in chunks:
            futures = [
                await made.send_batch(batch, topic, partition=row)
                for row in range(partitions)
                for batch in batches(made, values[row::partitions])
            ]
            await asyncio.gather(*futures)
            sent += len(values)
    finally:
        await made.stop()
    return sent


def wait_shared(bootstrap: str, group: str, members: int) -> None:
    """Wait until so many members have partitions of the group; processes start one after the other."""
    settings = Settings(kafka=KafkaSettings(bootstrap=bootstrap))
    deadline = time.monotonic() + FORMS_WITHIN_S
    working, state = 0, "not asked"
    while working != members or state != "Stable":
        if time.monotonic() > deadline:
            raise SystemExit(f"{group}: {working} of {members} members have partitions ({state})")
        time.sleep(0.2)
        # A broker that is new makes the topic of its groups first, and knows none of them until then.
        with contextlib.suppress(BrokerUnavailableError), admin_client(settings) as client:
            found = client.describe_groups([group])[group]
            state = found["group_state"]
            working = sum(
                bool((member["member_assignment"] or {}).get("assigned_partitions")) for member in found["members"]
            )
