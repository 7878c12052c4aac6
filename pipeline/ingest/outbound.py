"""Decoded events and dead letters as messages: by account to partitions, in batches that fit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.config.tree import TopicSettings
from pipeline.events.batch import EVENTS_VERSION, VERSION_HEADER, encode_events, filled
from pipeline.events.dead_letter import DEAD_LETTERS_VERSION, encode_dead_letters
from pipeline.events.dead_letter import VERSION_HEADER as DEAD_LETTER_HEADER
from pipeline.events.schema import DEAD_LETTERS

ENVELOPE_BYTES: Final = 1024  # Kafka's own around a value: batch and record headers
DEAD_LETTER_ROWS: Final = 2000


@dataclass(frozen=True, slots=True)
class Message:
    """One message to produce; without a partition the client picks one."""

    topic: str
    partition: int | None
    value: bytes
    header: tuple[str, bytes]


def account_partition(account_id: str, partitions: int) -> int:
    """The partition of the event topic that has an account's events."""
    return zlib.crc32(account_id.encode()) % partitions


def by_partition(events: pl.DataFrame, partitions: int) -> dict[int, pl.DataFrame]:
    """Split by account, in the order given."""
    if events.is_empty():
        return {}
    accounts = events["account_id"]
    known = accounts.unique()
    targets = [account_partition(account, partitions) for account in known]
    placed = events.with_columns(_partition=accounts.replace_strict(known, targets, return_dtype=pl.Int32))
    parts = placed.partition_by("_partition", as_dict=True, include_key=False)
    return {key[0]: frame for key, frame in parts.items()}


def messages(
    events: pl.DataFrame,
    dead: pl.DataFrame,
    *,
    topics: TopicSettings,
    partitions: int,
    batch_events: int,
    seen_at: datetime,
) -> Iterator[Message]:
    """All messages of one transaction. An event that fits no message becomes a dead letter, so that nothing is lost."""
    limit = topics.max_message_bytes - ENVELOPE_BYTES
    header = (VERSION_HEADER, EVENTS_VERSION)
    oversize: list[pl.DataFrame] = []
    for partition, frame in sorted(by_partition(filled(events), partitions).items()):
        for chunk in frame.iter_slices(batch_events):
            for piece, value in halves(chunk, limit):
                if value is None:
                    oversize.append(piece)
                else:
                    yield Message(topics.events, partition, value, header)
    letters = pl.concat([dead, *(_too_large(piece, topics, seen_at) for piece in oversize)])
    for chunk in letters.iter_slices(DEAD_LETTER_ROWS):
        yield from _letters(chunk, topics.dead_letter, limit)


def halves(frame: pl.DataFrame, limit_bytes: int) -> Iterator[tuple[pl.DataFrame, bytes | None]]:
    """Encode, halving what is too large; a single event that is too large comes with None."""
    value = encode_events(frame)
    if len(value) <= limit_bytes:
        yield frame, value
    elif frame.height == 1:
        yield frame, None
    else:
        middle = frame.height // 2
        yield from halves(frame[:middle], limit_bytes)
        yield from halves(frame[middle:], limit_bytes)


def _letters(frame: pl.DataFrame, topic: str, limit_bytes: int) -> Iterator[Message]:
    value = encode_dead_letters(frame)
    if len(value) > limit_bytes and frame.height > 1:
        middle = frame.height // 2
        yield from _letters(frame[:middle], topic, limit_bytes)
        yield from _letters(frame[middle:], topic, limit_bytes)
    elif len(value) > limit_bytes:
        # The letter itself matters more than its payload, which the source offset still names.
        yield from _letters(frame.with_columns(pl.lit(b"", pl.Binary).alias("payload")), topic, limit_bytes)
    else:
        yield Message(topic, None, value, (DEAD_LETTER_HEADER, DEAD_LETTERS_VERSION))


def _too_large(event: pl.DataFrame, topics: TopicSettings, seen_at: datetime) -> pl.DataFrame:
    return event.select(
        pl.lit(topics.requests, pl.String).alias("source_topic"),
        pl.lit(-1, pl.Int32).alias("source_partition"),
        pl.lit(-1, pl.Int64).alias("source_offset"),
        pl.lit(-1, pl.Int32).alias("item"),
        pl.col("source_format").alias("format"),
        pl.lit("too_large", pl.String).alias("reason"),
        pl.lit("one event is larger than topics.max_message_bytes", pl.String).alias("detail"),
        pl.lit(None, pl.Binary).alias("payload"),
        pl.lit(None, pl.Int64).alias("payload_bytes"),
        "event_id",
        pl.lit(seen_at).cast(DEAD_LETTERS["seen_at"]).alias("seen_at"),
    )
