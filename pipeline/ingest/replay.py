"""Dead letters back to the raw topic, once their cause is mended: the original where the broker still has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import polars as pl
from kafka import KafkaConsumer
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import TopicPartition

from pipeline.broker import check_broker, kafka_options
from pipeline.broker.probe import unavailable
from pipeline.config import Settings
from pipeline.events.dead_letter import REDACTED
from pipeline.ingest.produce import Headers, open_sender

FETCH_TIMEOUT_MS: Final = 5000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter that was not sent again, where its source is, and why."""

    topic: str
    partition: int
    offset: int
    item: int
    why: str

    def __str__(self) -> str:
        item = "" if self.item < 0 else f" item {self.item}"
        return f"{self.topic}[{self.partition}]@{self.offset}{item}: {self.why}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the dead letters."""

    sent: int
    refused: tuple[Refusal, ...]

    def __str__(self) -> str:
        lines = [f"{self.sent} sent again, {len(self.refused)} refused", *(f"  {one}" for one in self.refused)]
        return "\n".join(lines)


def replay(letters: pl.DataFrame, settings: Settings) -> Replayed:
    """Send each once more, in the order given; return when the broker has confirmed them.

    Of a message with several events only the one that failed is sent: the others were counted. Nothing is sent that is
    not the whole original.

    Args:
        letters: the columns of DEAD_LETTERS; others are ignored.
        settings: the tree.

    Raises:
        BrokerUnavailableError: nobody answers.
        ProduceError: the broker did not take one.
    """
    check_broker(settings)
    refused: list[Refusal] = []
    unique = letters.unique(["source_topic", "source_partition", "source_offset", "item"], maintain_order=True)
    with open_sender(settings) as sender, _Originals(settings) as originals:
        for letter in unique.iter_rows(named=True):
            found = _whole(letter, originals, settings.topics.requests)
            if isinstance(found, str):
                where = (letter["source_topic"], letter["source_partition"], letter["source_offset"], letter["item"])
                refused.append(Refusal(*where, found))
            else:
                sender.send(*found)
        sender.settle()
        return Replayed(sender.confirmed, tuple(refused))


def pick(value: bytes, item: int) -> bytes | None:
    """One event of a message: an element of an array, a line of NDJSON, or all of it; None where it is neither."""
    stripped = value.strip()
    if item < 0:
        return value
    try:
        if stripped.startswith(b"["):
            return bytes(msgspec.json.decode(stripped, type=list[msgspec.Raw])[item])
    except (msgspec.DecodeError, IndexError, RecursionError):
        return None
    lines = [line for line in stripped.split(b"\n") if line.strip()]
    if len(lines) > 1 and _complete(lines[0]):
        return lines[item] if item < len(lines) else None
    return value if item == 0 and stripped.startswith(b"{") else None


def _complete(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _whole(letter: Mapping[str, Any], originals: _Originals, topic: str) -> tuple[bytes, Headers] | str:
    """What to send, or why not."""
    if letter["source_topic"] != topic:
        return f"it does not come from {topic}; whoever wrote there sends it again"
    original = originals.get(letter["source_partition"], letter["source_offset"])
    if original is not None:
        value, headers = original
        part = pick(value, letter["item"])
        if part is not None:
            return part, headers
        return "its event cannot be told from the others of its message; read it there"
    payload = letter["payload"]
    # What was redacted may by chance be as long as it was.
    if payload is None or len(payload) != letter["payload_bytes"] or REDACTED.encode() in payload:
        return "the broker no longer has the original, and the payload kept is not whole; send it from its source"
    return payload, []


class _Originals:
    """Reads single messages of the raw topic; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.requests
        try:
            self._consumer = KafkaConsumer(
                **kafka_options(settings.kafka),
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="none",
                max_poll_records=1,
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise unavailable(settings, error) from error
        self._absent_from: dict[int, int] = {}
        self._partitions = self._consumer.partitions_for_topic(self._topic) or set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close(autocommit=False)

    def get(self, partition: int, offset: int) -> tuple[bytes, Headers] | None:
        """Value and headers, or None where it is gone."""
        # A broker that was made anew has none of the old offsets; waiting for each of thousands would take hours.
        if partition not in self._partitions or offset >= self._absent_from.get(partition, offset + 1):
            return None
        source = TopicPartition(self._topic, partition)
        self._consumer.assign([source])
        self._consumer.seek(source, offset)
        # The end offset is not asked for: Tansu's answer is short by the rest of the last batch.
        try:
            records = self._consumer.poll(timeout_ms=FETCH_TIMEOUT_MS, max_records=1).get(source, [])
        except OffsetOutOfRangeError:
            return None
        for record in records:
            if record.offset == offset and record.value is not None:
                return record.value, list(record.headers)
        if not records:
            self._absent_from[partition] = offset
        return None
