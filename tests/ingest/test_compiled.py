"""aiokafka's reader under kafka-python's consumer: the same records as kafka-python's own reader finds."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from pipeline.ingest.compiled import CompiledConsumer, _CompiledRecords
from tests.kafka.server import KafkaServer

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PARTITION = TopicPartition("t", 0)

texts = st.binary(max_size=200) | st.none()
headers = st.lists(st.tuples(st.text(max_size=5), texts), max_size=3)
batches = st.lists(st.lists(st.tuples(texts, texts, headers), min_size=1, max_size=8), min_size=1, max_size=4)


def packed(given_batches: Sequence[Sequence[Any]], codec: str) -> bytes:
    """Record batches, as a fetch brings them."""
    made, offset = b"", 0
    for records in given_batches:
        builder = MemoryRecordsBuilder(2, CODECS[codec], 1 << 20, offset=offset)
        for key, value, heads in records:
            builder.append(timestamp=1_700_000_000_000, key=key, value=value, headers=heads)
        builder.close()
        made += bytes(builder.buffer())
        offset += len(records)
    return made


def taken(kind: Any, buffer: bytes, *, start: int = 0) -> list[tuple[Any, ...]]:
    """Everything that a reader finds, and where it would go on."""
    reader = kind(start, PARTITION, MemoryRecords(buffer))
    found = [(one.offset, one.key, one.value, list(one.headers)) for one in reader.take()]
    return [*found, (reader.next_fetch_offset,)]


@given(batches, st.sampled_from(sorted(CODECS)), st.data())
def test_both_readers_find_the_same(made: list[list[Any]], codec: str, data: st.DataObject) -> None:
    buffer = packed(made, codec)
    start = data.draw(st.integers(0, sum(map(len, made)) - 1))
    assert taken(_CompiledRecords, buffer, start=start) == taken(Fetcher.PartitionRecords, buffer, start=start)


def test_what_is_taken_in_pieces_goes_on_behind_the_last_piece() -> None:
    buffer = packed([[(None, b"%d" % number, []) for number in range(5)]], "lz4")
    reader = _CompiledRecords(0, PARTITION, MemoryRecords(buffer))
    assert [one.value for one in reader.take(3)] == [b"0", b"1", b"2"]
    assert reader.next_fetch_offset == 3
    assert [one.value for one in reader.take(3)] == [b"3", b"4"]
    assert reader.next_fetch_offset == 5
    assert not reader  # drained: the next fetch is parsed


@pytest.mark.parametrize("at", [70, -1])
def test_a_damaged_batch_is_an_error_that_ingest_knows_and_names_its_place(at: int) -> None:
    damaged = bytearray(packed([[(None, b"value" * 20, [])]], "none"))
    damaged[at] ^= 0xFF
    with pytest.raises(CorruptRecordError, match=r"t\[0\] at 0"):
        _CompiledRecords(0, PARTITION, MemoryRecords(bytes(damaged))).take()


@pytest.mark.kafka
@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_aborted_transactions_and_markers_are_left_out_as_kafka_python_does(kafka: KafkaServer, isolation: str) -> None:
    topic = f"compiled-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()
    plain = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    bound = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", transactional_id=topic, compression_type="lz4")
    bound.init_transactions()
    for number, outcome in enumerate(("commit", "abort", "abort", "commit", "abort")):
        bound.begin_transaction()
        for part in range(3):
            bound.send(topic, value=b"%s-%d-%d" % (outcome.encode(), number, part), partition=0)
            # Between the records of a transaction that is aborted later.
            plain.send(topic, value=b"plain-%d-%d" % (number, part), partition=0).get(10)
        bound.flush()
        getattr(bound, f"{outcome}_transaction")()
    plain.send(topic, value=b"last", partition=0).get(10)
    for producer in (plain, bound):
        producer.close()
    ours, theirs = (read(kind, kafka.bootstrap, topic, isolation) for kind in (CompiledConsumer, KafkaConsumer))
    assert ours == theirs
    assert ours[-1][1] == b"last"
    aborted = any(value.startswith(b"abort") for _, value in ours)
    assert aborted == (isolation == "read_uncommitted")


def read(kind: Any, bootstrap: str, topic: str, isolation: str) -> list[tuple[int, bytes]]:
    """Offsets and values of a partition up to its last record, by polls of two."""
    item = TopicPartition(topic, 0)
    consumer = kind(bootstrap_servers=bootstrap, isolation_level=isolation, auto_offset_reset="earliest")
    consumer.assign([item])
    found: deque[tuple[int, bytes]] = deque()
    try:
        while not found or found[-1][1] != b"last":
            polled = consumer.poll(timeout_ms=5000, max_records=2)
            assert polled, "the broker has no more, and the last record did not come"
            found += [(one.offset, one.value) for one in polled[item]]
        assert consumer.position(item) > found[-1][0]  # perhaps behind a marker that was written late
        return list(found)
    finally:
        consumer.close()
