"""CPU-seconds per million records that reading a fetch costs, by reader: `python -m benchmarks.reading`. No broker.

From record batches in lz4, as a fetch brings them, to a frame of RAW.
"""

from __future__ import annotations

import time
from typing import Any, Final

from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from benchmarks.load import load
from pipeline.ingest.compiled import _CompiledRecords
from pipeline.ingest.garbage import collect_seldom
from pipeline.ingest.records import to_raw

RECORDS: Final = 100_000
A_BATCH: Final = 500
A_POLL: Final = 20_000
ROUNDS: Final = 5
LZ4: Final = 3
PARTITION: Final = TopicPartition("t", 0)


def fetched() -> bytes:
    """Record batches of the benchmark's events."""
    [values] = load(RECORDS, chunk=RECORDS)
    made = []
    for first in range(0, RECORDS, A_BATCH):
        builder = MemoryRecordsBuilder(2, LZ4, 1 << 20, offset=first)
        for value in values[first : first + A_BATCH]:
            builder.append(timestamp=0, key=None, value=value, headers=[])
        builder.close()
        made.append(bytes(builder.buffer()))
    return b"".join(made)


def cpu_s_per_million(reader: Any, buffer: bytes) -> float:
    """The least of some rounds."""
    spent = []
    for _ in range(ROUNDS):
        before, rows = time.process_time(), 0
        records = reader(0, PARTITION, MemoryRecords(buffer))
        while taken := records.take(A_POLL):
            rows += to_raw({PARTITION: taken}, received_s=0.0).height
        spent.append(time.process_time() - before)
        assert rows == RECORDS
    return min(spent) / RECORDS * 1e6


def main() -> None:
    """Print a line a reader."""
    buffer = fetched()
    collect_seldom()  # as ingest does
    for name, reader in (("kafka-python", Fetcher.PartitionRecords), ("aiokafka's, compiled", _CompiledRecords)):
        print(f"{name:<22} {cpu_s_per_million(reader, buffer):.2f} CPU-s/million")


if __name__ == "__main__":
    main()
