"""How much serve takes from its consumer at once: a transaction costs more than what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kafka import KafkaConsumer

from pipeline.clock import Clock
from pipeline.fingerprint.schema import Delta

# Deltas are ten to thirty times as large in memory: what comes of all partitions at once is one transaction.
PARTITION_FETCH_BYTES: Final = 2_097_152
_GATHER_MS: Final = 25
# Of what happened longer ago than that nobody waits for the half second in which more of it may come, up to so much.
_BACKLOG: Final = timedelta(minutes=1)
_GATHER_BACKLOG_S: Final = 0.5
_GATHER_BACKLOG_BYTES: Final = 4 * PARTITION_FETCH_BYTES


@dataclass(slots=True)
class Poll:
    """Takes records from ``consumer``, ``most`` at once."""

    consumer: KafkaConsumer
    clock: Clock
    most: int
    backlog: bool = False  # what came last happened long ago

    def records(self, wait_ms: int) -> list[Any]:
        """What has come, in offset order within a partition; waits so long for the first."""
        found = self._more(wait_ms, self.most)
        if 0 < len(found) < self.most:
            # A worker emits its partitions at once, and the first to arrive ends the wait: the others are to come in
            # the same transaction.
            found += self._more(_GATHER_MS, self.most - len(found))
            until_s = self.clock.monotonic() + _GATHER_BACKLOG_S
            while self.backlog and len(found) < self.most and _bytes(found) < _GATHER_BACKLOG_BYTES:
                left_ms = round((until_s - self.clock.monotonic()) * 1000)
                if left_ms <= 0:
                    break
                found += self._more(left_ms, self.most - len(found))
        return found

    def told(self, deltas: Iterable[Delta]) -> None:
        """What the records were: whether what comes next is of a backlog."""
        newest = max((delta.watermark for delta in deltas if delta.watermark is not None), default=None)
        self.backlog = newest is not None and self.clock.now() - newest > _BACKLOG

    def _more(self, timeout_ms: int, most: int) -> list[Any]:
        polled = self.consumer.poll(timeout_ms=timeout_ms, max_records=most)
        return [record for records in polled.values() for record in records]


def _bytes(records: Sequence[Any]) -> int:
    return sum(len(record.value or b"") for record in records)
