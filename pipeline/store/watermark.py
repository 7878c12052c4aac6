"""The store's watermark: up to which event time everything is counted, judged from what each source partition said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from pipeline.fingerprint.schema import PANE_S

STALL_AFTER_S: Final = 30.0  # six heartbeats
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PANE: Final = timedelta(seconds=PANE_S)


@dataclass(frozen=True, slots=True)
class PartitionWord:
    """The last that is known of a source partition. ``watermark`` None: it never had an event."""

    partition: int
    watermark: datetime | None
    idle: bool
    last_word_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far event time is complete. ``stalled``: partitions that hold it since nobody speaks for them."""

    watermark: datetime | None
    stalled: tuple[int, ...] = ()


class _Reads(Protocol):
    def execute(self, sql: str, parameters: Any = ...) -> Any: ...


def read_words(source: _Reads) -> dict[int, PartitionWord]:
    """What the store knows of each partition, from a transaction or a connection."""
    rows = source.execute("select source_partition, watermark, idle, last_word_at from partition_state").fetchall()
    return {row[0]: PartitionWord(*row) for row in rows}


def active_hours(source: _Reads, since: datetime | None = None) -> list[datetime]:
    """Hours of event time, from ``since`` on, that have any events; ascending."""
    # Of what is folded the account of rows says it: the rows themselves are millions.
    rows = source.execute(
        "select distinct hour from ("
        "select window_start as hour from window_rows where level = 'link_hour' union all select hour from link_delta) "
        "where $since::timestamptz is null or hour >= $since order by hour",
        {"since": since},
    ).fetchall()
    return [row[0] for row in rows]


def progress(
    words: Iterable[PartitionWord],
    *,
    partitions: int,
    lateness_s: float,
    heard_s: Mapping[int, float],
    now_s: float,
    stall_after_s: float = STALL_AFTER_S,
    previous: datetime | None = None,
) -> Progress:
    """The minimum over partitions that are not idle; never before ``previous``.

    None until each of ``partitions`` has spoken. When all are idle, all that was seen is closed: the end of the pane of
    the newest event. A stalled partition counts as not idle, whatever it said last: it may have events nobody counts.

    Args:
        words: of every partition that spoke so far.
        partitions: how many the topic has.
        lateness_s: what the worker takes off the newest event time.
        heard_s: monotonic time at which this process last heard of each partition, or began to listen.
        now_s: monotonic time.
        stall_after_s: silence, by monotonic time, after which a partition is stalled.
        previous: the last result; a watermark does not go back.
    """
    known = {word.partition: word for word in words}
    stalled = tuple(
        number for number in range(partitions) if number in heard_s and now_s - heard_s[number] >= stall_after_s
    )
    if len(known.keys() & set(range(partitions))) < partitions:
        return Progress(previous, stalled)
    waited_for = [word for word in known.values() if not word.idle or word.partition in stalled]
    if not waited_for:
        newest = max((word.watermark for word in known.values() if word.watermark is not None), default=None)
        reached = None if newest is None else _pane_end(newest + timedelta(seconds=lateness_s))
    elif any(word.watermark is None for word in waited_for):
        reached = None
    else:
        reached = min(word.watermark for word in waited_for if word.watermark is not None)
    if reached is None or (previous is not None and reached < previous):
        return Progress(previous, stalled)
    return Progress(reached, stalled)


def _pane_end(when: datetime) -> datetime:
    """End of the pane that ``when`` is in."""
    return _EPOCH + ((when - _EPOCH) // _PANE + 1) * _PANE
