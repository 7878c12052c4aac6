"""Raw messages from files to the raw topic: at a rate, and counted by what the broker confirmed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Self

import polars as pl
from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaError, MessageSizeTooLargeError

from pipeline.broker import ensure_topics, kafka_options
from pipeline.broker.probe import unavailable
from pipeline.clock import Clock, SystemClock
from pipeline.config import Settings
from pipeline.errors import StillwatchError

IN_FLIGHT: Final = 20_000  # messages sent and not confirmed, at most
SLICES_PER_S: Final = 20  # a rate is kept over so small a part of a second
SLICE: Final = 5_000

Headers = list[tuple[str, bytes]]


class ProduceError(StillwatchError):
    """The broker did not take a message; what was confirmed before is there."""

    exit_code = 74


def produce(
    frames: Iterable[pl.DataFrame],
    settings: Settings,
    *,
    rate: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    pack: int = 1,
    clock: Clock | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send frames of RAW to ``topics.requests``; return how many messages the broker confirmed.

    Args:
        frames: as ``read_files`` yields them.
        settings: the tree.
        rate: messages a second at most.
        progress: called with (messages confirmed, 0: the total is not known).
        pack: lines joined to one NDJSON message; only for input that is a JSON document a line.
        clock: keeps the rate.
        sleep: likewise.

    Raises:
        BrokerUnavailableError: nobody answers.
        ProduceError: a message was refused or not confirmed in time.
    """
    time_of = clock or SystemClock()
    ensure_topics(settings)
    with open_sender(settings) as sender:
        started_s, sent = time_of.monotonic(), 0
        step = SLICE if rate is None else max(1, min(SLICE, int(rate / SLICES_PER_S)))
        for values in _slices(frames, step, pack):
            if rate is not None:
                sleep(max(0.0, started_s + sent / rate - time_of.monotonic()))
            for value in values:
                sender.send(value, [])
            sent += len(values)
            if progress is not None:
                progress(sender.confirmed, 0)
        sender.settle()
        if progress is not None:
            progress(sender.confirmed, 0)
        return sender.confirmed


class Sender:
    """Sends to one topic and counts what is confirmed; a context manager, which closes the producer."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._futures: deque[Any] = deque()
        self.confirmed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close(timeout=5)

    def send(self, value: bytes, headers: Headers, key: bytes | None = None) -> None:
        """Hand one message to the client; waits while too many are not confirmed.

        Raises:
            ProduceError: this one is too large, or an earlier one was refused.
        """
        if len(self._futures) >= IN_FLIGHT:
            self._confirm(self._futures.popleft())
        try:
            self._futures.append(self._producer.send(self._topic, value=value, headers=headers, key=key))
        except KafkaError as error:
            raise self._error(error) from error

    def settle(self) -> None:
        """Wait until all that was sent is confirmed.

        Raises:
            ProduceError: one is not.
        """
        self._producer.flush()
        while self._futures:
            self._confirm(self._futures.popleft())

    def _confirm(self, future: Any) -> None:
        try:
            future.get(timeout=60)
        except KafkaError as error:
            raise self._error(error) from error
        self.confirmed += 1

    def _error(self, error: KafkaError) -> ProduceError:
        if isinstance(error, MessageSizeTooLargeError):
            step = "raise topics.max_message_bytes and the topic's max.message.bytes, or send smaller messages"
        elif isinstance(error, InvalidRecordError):
            step = "a compacted topic takes no message without a key; facts go in by `stillwatch accounts import`"
        else:
            step = "look whether the broker is well; what was confirmed need not be sent again"
        return ProduceError(
            f"{self._topic}: {type(error).__name__} after {self.confirmed} confirmed messages", next_step=step
        )


def open_sender(settings: Settings, *, topic: str | None = None) -> Sender:
    """A sender to the raw topic, or to the one named; close it by leaving its context.

    Raises:
        BrokerUnavailableError: nobody answers.
    """
    try:
        producer = KafkaProducer(
            **kafka_options(settings.kafka),
            acks="all",
            enable_idempotence=True,
            linger_ms=10,
            batch_size=256 << 10,
            compression_type="lz4",
            max_request_size=settings.topics.max_message_bytes,
            max_block_ms=int(settings.kafka.request_timeout_s * 1000),
        )
    except KafkaError as error:
        raise unavailable(settings, error) from error
    return Sender(producer, topic or settings.topics.requests)


def _slices(frames: Iterable[pl.DataFrame], step: int, pack: int) -> Iterator[Sequence[bytes]]:
    left: list[bytes] = []
    for frame in frames:
        values = left + frame["value"].drop_nulls().to_list()
        whole = len(values) - len(values) % pack
        left = values[whole:]
        yield from _cut(_packed(values[:whole], pack), step)
    if left:
        yield _packed(left, pack)


def _packed(values: list[bytes], pack: int) -> list[bytes]:
    if pack == 1:
        return values
    return [b"\n".join(values[start : start + pack]) for start in range(0, len(values), pack)]


def _cut(values: list[bytes], step: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(values), step):
        yield values[start : start + step]
