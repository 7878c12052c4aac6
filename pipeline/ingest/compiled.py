"""A consumer whose records are read by aiokafka's compiled reader: kafka-python's own took most of ingest's time.

Groups, offsets, fetches, transactions: all else stays kafka-python's. aiokafka is there anyway, below Faust. Why, and
the figures: docs/decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import aiokafka.errors
from aiokafka.record.memory_records import MemoryRecords
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError, UnsupportedCodecError

from pipeline.ingest.membership import Membership

FORMAT_WITH_TRANSACTIONS: Final = 2  # of record batches, since Kafka 0.11


class CompiledConsumer(KafkaConsumer):  # type: ignore[misc] # kafka-python publishes no types
    """As KafkaConsumer; what ``poll`` returns are aiokafka's records: offset, timestamp, key, value, headers.

    It takes no deserializers: key and value are bytes, or None.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # What its fetcher makes of each fetched partition; no public option names it (a test does).
        self._fetcher.PartitionRecords = _CompiledRecords
        # The constructor makes it, and takes no class for it.
        self._coordinator.__class__ = Membership


class _CompiledRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition, without markers and without aborted transactions."""

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[Any]:
        try:
            yield from self._unpack(records, MemoryRecords(bytes(records._buffer)))  # noqa: SLF001
        except aiokafka.errors.UnsupportedCodecError as error:
            raise UnsupportedCodecError(str(error)) from error
        except aiokafka.errors.CorruptRecordException as error:
            raise CorruptRecordError(f"{tp.topic}[{tp.partition}] at {self.next_fetch_offset}: {error}") from error
        self.drain()

    def _unpack(self, batches: Any, compiled: Any) -> Iterator[Any]:
        """Headers of batches as kafka-python reads them, what is in them as aiokafka does."""
        while (batch := batches.next_batch()) is not None:
            read = compiled.next_batch()
            if self.check_crcs and not read.validate_crc():
                raise aiokafka.errors.CorruptRecordException("the checksum of a batch is wrong")
            marked = batch.magic >= FORMAT_WITH_TRANSACTIONS
            if marked:
                self.leader_epoch = batch.leader_epoch
            if not (marked and self._left_out(batch)):
                for record in read:
                    self.records_read += 1
                    self.next_fetch_offset = record.offset + 1
                    yield record
            if marked:
                # Behind the batch, even where compaction left nothing at its end; else it would be fetched for ever.
                self.next_fetch_offset = batch.next_offset

    def _left_out(self, batch: Any) -> bool:
        """Whether it is a marker, or of a transaction that was aborted."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)
