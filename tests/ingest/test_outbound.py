"""Messages: every event in exactly one, in its account's partition, none too large; and the bookkeeping of offsets."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.config.tree import TopicSettings
from pipeline.events.batch import decode_events, stack, whole
from pipeline.events.dead_letter import decode_dead_letters
from pipeline.events.schema import DEAD_LETTERS, EVENTS, RAW
from pipeline.ingest.outbound import ENVELOPE_BYTES, Message, account_partition, messages
from pipeline.ingest.pending import Pending, next_offsets, waiting
from pipeline.ingest.records import header_format

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TOPICS = TopicSettings(max_message_bytes=60_000)


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in EVENTS} for row in rows], schema=EVENTS)


def raw(*rows: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None, b"xy", 0.0) for row in rows], schema=RAW, orient="row")


def out(events: pl.DataFrame, dead: pl.DataFrame, *, partitions: int = 3, batch_events: int = 50) -> list[Message]:
    made = messages(events, dead, topics=TOPICS, partitions=partitions, batch_events=batch_events, seen_at=NOW)
    return list(made)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=6), max_size=150), st.integers(1, 7), st.integers(1, 60))
def test_each_event_is_in_its_accounts_partition_once(accounts: list[str], partitions: int, batch: int) -> None:
    events = frame([{"event_id": str(number), "account_id": one} for number, one in enumerate(accounts)])
    found = out(events, DEAD_LETTERS.to_frame(), partitions=partitions, batch_events=batch)
    decoded = [(message.partition, decode_events(message.value)) for message in found]
    assert all(part.height <= batch for _, part in decoded)
    for partition, part in decoded:
        assert {account_partition(account, partitions) for account in part["account_id"]} == {partition}
    again = whole(stack([part for _, part in decoded]))
    assert_frame_equal(again.sort(pl.col("event_id").cast(pl.Int64)), events)


def test_a_partition_is_the_same_in_every_version() -> None:
    assert [account_partition(f"acct_{number}", 4) for number in range(6)] == [3, 1, 3, 1, 2, 0]


def test_what_is_too_large_is_halved_and_what_cannot_be_becomes_a_dead_letter() -> None:
    blobs = [int.from_bytes(os.urandom(8)) for _ in range(20_000)]
    rows: list[dict[str, object]] = [
        {"event_id": f"e{number}", "account_id": "a", "reasoning_blobs": blobs[:3000]} for number in range(8)
    ]
    rows.append({"event_id": "huge", "account_id": "a", "source_format": "native", "reasoning_blobs": blobs})
    found = out(frame(rows), DEAD_LETTERS.to_frame())
    assert all(len(message.value) <= TOPICS.max_message_bytes - ENVELOPE_BYTES for message in found)
    events = stack([decode_events(one.value) for one in found if one.topic == TOPICS.events])
    assert sorted(events["event_id"]) == [f"e{number}" for number in range(8)]
    [letters] = [decode_dead_letters(one.value) for one in found if one.topic == TOPICS.dead_letter]
    assert letters.select("event_id", "reason").rows() == [("huge", "too_large")]


def test_dead_letters_fit_too() -> None:
    row = {"source_topic": "t", "source_partition": 0, "item": 0, "reason": "invalid_json", "seen_at": NOW}
    dead = pl.DataFrame(
        [
            {name: (row | {"source_offset": number, "payload": os.urandom(4096)}).get(name) for name in DEAD_LETTERS}
            for number in range(100)
        ],
        schema=DEAD_LETTERS,
    )
    found = out(EVENTS.to_frame(), dead)
    assert all(len(message.value) <= TOPICS.max_message_bytes for message in found)
    again = pl.concat([decode_dead_letters(message.value) for message in found])
    assert_frame_equal(again, dead)


def test_offsets_stop_at_what_is_held() -> None:
    rows = raw(("t", 0, 4), ("t", 0, 5), ("t", 0, 9), ("t", 1, 2))
    held = {("t", 0): 5}
    assert next_offsets(rows, held) == {("t", 0): 5, ("t", 1): 3}
    assert waiting(rows, held)["offset"].to_list() == [5, 9]
    assert waiting(rows, {}).is_empty()


def test_pending_knows_its_size_and_forgets_what_was_revoked() -> None:
    pending = Pending.empty()
    pending.add(raw(("t", 0, 1), ("t", 1, 7)))
    pending.add(raw(("t", 0, 2)))
    assert pending.bytes == 6
    pending.drop([("t", 0), ("other", 1)])
    assert (pending.raw["offset"].to_list(), pending.bytes) == ([7], 2)
    pending.clear()
    assert (pending.raw.height, pending.bytes, pending.raw.schema) == (0, 0, RAW)


def test_the_format_is_read_from_headers() -> None:
    assert header_format([("Content-Type", b"application/json; charset=utf-8")]) == "application/json"
    assert header_format([("content-type", b"application/json"), ("stillwatch-format", b"otel")]) == "otel"
    assert header_format([("stillwatch-format", None), ("x", b"y")]) is None
    assert header_format([("stillwatch-format", b"\xff")]) == "�"
