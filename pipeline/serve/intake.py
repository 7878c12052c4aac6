"""What serve reads from the internal topics: deltas, dead letters, account facts, and up to which offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import polars as pl

from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.config import TopicSettings
from pipeline.errors import CorruptBatchError
from pipeline.events.dead_letter import decode_dead_letters
from pipeline.events.schema import DEAD_LETTERS
from pipeline.fingerprint.codec import HEADER, DeltaAssembler
from pipeline.fingerprint.schema import Delta
from pipeline.serve.clearing import Clearing
from pipeline.serve.corpora import CorpusChange
from pipeline.serve.releases import Release
from pipeline.serve.resend import Resend

ACCOUNTS_MAX_BYTES: Final = 65_536


class Message(Protocol):
    """What is needed of a consumed record."""

    @property
    def topic(self) -> str:
        """Which topic."""
        ...

    @property
    def partition(self) -> int:
        """Which partition of it."""
        ...

    @property
    def offset(self) -> int:
        """Where in it."""
        ...

    @property
    def value(self) -> bytes | None:
        """The payload; None: a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and values."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """One batch from the internal topics, decoded. ``offsets`` are the positions to resume at once it is applied."""

    deltas: Sequence[Delta] = ()
    dead_letters: pl.DataFrame = field(default_factory=DEAD_LETTERS.to_frame)
    accounts: Sequence[Mapping[str, object]] = ()
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    corrupt: Sequence[CorruptBatchError] = ()
    clearings: Sequence[Clearing] = ()  # not from a topic: a person's words
    corpora: Sequence[CorpusChange] = ()  # nor these
    releases: Sequence[Release] = ()
    resends: Sequence[Resend] = ()
    alert_words: Sequence[AlertWord] = ()
    silences: Sequence[SilenceWord] = ()

    @property
    def empty(self) -> bool:
        """Nothing was read: no transaction is needed for it."""
        return not self.offsets


@dataclass(slots=True)
class IntakeReader:
    """Turns messages into an Intake. Holds only unfinished deltas; a damaged message is reported and passed over."""

    topics: TopicSettings
    _assembler: DeltaAssembler = field(init=False)

    def __post_init__(self) -> None:
        self._assembler = DeltaAssembler(self.topics.fingerprints)

    def read(self, messages: Iterable[Message]) -> Intake:
        """Decode messages in the order given; each partition's must be in offset order."""
        deltas: list[Delta] = []
        dead: list[pl.DataFrame] = [DEAD_LETTERS.to_frame()]
        accounts: list[Mapping[str, object]] = []
        corrupt: list[CorruptBatchError] = []
        offsets: dict[tuple[str, int], int] = {}
        for message in messages:
            offsets[message.topic, message.partition] = message.offset + 1
            try:
                if message.topic == self.topics.fingerprints:
                    header = next((value for name, value in message.headers if name == HEADER), None)
                    delta = self._assembler.add(message.partition, message.offset, header, message.value)
                    if delta is not None:
                        deltas.append(delta)
                elif message.topic == self.topics.dead_letter:
                    dead.append(decode_dead_letters(message.value))
                else:
                    accounts += _account(message)
            except CorruptBatchError as error:
                corrupt.append(CorruptBatchError(message.topic, message.partition, message.offset, error.reason))
        for topic, partition in offsets:
            if topic == self.topics.fingerprints:
                resume = self._assembler.resume_offset(partition)
                if resume is not None:
                    offsets[topic, partition] = resume
        return Intake(deltas, pl.concat(dead), accounts, offsets, corrupt)


def _account(message: Message) -> list[Mapping[str, object]]:
    if message.value is None:  # a tombstone: the facts are withdrawn upstream, what was seen of the account stays
        return []
    if len(message.value) > ACCOUNTS_MAX_BYTES:
        raise CorruptBatchError(message.topic, message.partition, message.offset, "account facts over 64 KiB")
    try:
        return [msgspec.json.decode(message.value, type=dict[str, object])]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptBatchError(message.topic, message.partition, message.offset, f"no JSON object: {error}") from None
