"""After a restart: read the stretch before the committed offset once more, to know which ids were counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline import logs
from pipeline.config import WorkerSettings
from pipeline.events.ipc import ArrowError, read_frame
from pipeline.fingerprint.partition import PartitionState

_COLUMNS = ["event_id", "timestamp", "account_id"]
_FIRST_STEP = 64
_NO_PROGRESS_S = 15.0

log = logs.get("worker")


@asynccontextmanager
async def side_reader(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside any group that reads committed records from where it is told."""
    reader = AIOKafkaConsumer(
        **options, group_id=None, enable_auto_commit=False, isolation_level="read_committed", auto_offset_reset="none"
    )
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


async def warm_up(
    reader: AIOKafkaConsumer,
    partition: TopicPartition,
    state: PartitionState,
    settings: WorkerSettings,
    *,
    end: int,
    earliest: int,
) -> int:
    """Read back from ``end`` until two windows of event time or ``dedup_ids`` are covered; return how many events.

    Two windows: an event that is late by one may have its first copy one window earlier.
    """
    reader.assign([partition])
    stop_at, step, events, newest = end, _FIRST_STEP, 0, None
    while stop_at > earliest and events < settings.dedup_ids:
        start_at = max(earliest, stop_at - step)
        frame = await _read(reader, partition, start_at, stop_at)
        state.warm(frame)
        events += frame.height
        if frame.height:
            latest: Any = frame["timestamp"].max()
            newest = latest if newest is None else max(newest, latest)
            if latest < newest - timedelta(seconds=2 * settings.dedup_window_s):
                break
        stop_at, step = start_at, step * 2
    return events


async def _read(reader: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int) -> pl.DataFrame:
    reader.seek(partition, start)
    loop = asyncio.get_running_loop()
    frames: list[pl.DataFrame] = []
    moved_s, position = loop.time(), start
    while position < end:
        for message in (await reader.getmany(partition, timeout_ms=500)).get(partition, ()):
            if message.offset < end:
                frames.extend(_ids(message))
        reached = await reader.position(partition)
        if reached > position:
            position, moved_s = reached, loop.time()
        elif loop.time() - moved_s > _NO_PROGRESS_S:
            raise TimeoutError(f"{partition.topic}[{partition.partition}] cannot be read back from {position} to {end}")
    if not frames:
        return pl.DataFrame(
            schema={"event_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "account_id": pl.String}
        )
    return pl.concat(frames)


def _ids(message: Any) -> list[pl.DataFrame]:
    try:
        return [read_frame(message.value or b"", columns=_COLUMNS)]
    except ArrowError:
        return []  # it was reported when its turn came
