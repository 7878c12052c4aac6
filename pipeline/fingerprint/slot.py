"""A partition that a worker has at present: what waits for it, how far it has come, and whether it is still ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl
from aiokafka import TopicPartition

from pipeline.events.chain import Following
from pipeline.fingerprint.partition import PartitionState

_WAITING: Final = 2  # batches a partition that are decoded while one is added; Faust keeps more before them
_TOGETHER_EVENTS: Final = 20_000  # emitted in one: more take their time anyway, and memory


@dataclass(frozen=True, slots=True)
class Message:
    """One message, and its events once a thread has decoded them."""

    offset: int
    value: bytes | None
    chain: bytes | None
    events: asyncio.Future[pl.DataFrame]


@dataclass(slots=True)
class Slot:
    """One partition in one generation."""

    partition: TopicPartition
    generation: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # one emission at a time, and none while a batch goes in
    waiting: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    state: PartitionState | None = None
    following: Following = field(default_factory=Following)
    committed: int = 0
    acknowledged: int = 0
    revoked: bool = False


def few_at_a_time(slots: Iterable[Slot]) -> Iterator[list[Slot]]:
    """Slots with few pending events together, with many alone."""
    few: list[Slot] = []
    events = 0
    for slot in slots:
        pending = 0 if slot.state is None else slot.state.pending_events
        if few and events + pending > _TOGETHER_EVENTS:
            yield few
            few, events = [], 0
        few.append(slot)
        events += pending
    if few:
        yield few


def all_ours(slots: Sequence[Slot]) -> Callable[[], bool]:
    """Asks whether all of them are."""
    return lambda: not any(slot.revoked for slot in slots)
