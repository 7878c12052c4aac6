"""Deltas as messages: one or more Arrow parts with its facts in a header; whole again only when all are there."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import polars as pl

from pipeline.errors import CorruptBatchError
from pipeline.events.ipc import ArrowError, read_frame
from pipeline.fingerprint.distributions import SCALE
from pipeline.fingerprint.schema import DISTRIBUTIONS, FEATURES, LINKS, LOOPS, PANES, Delta
from pipeline.fingerprint.sketch import tallies_of_version_3

HEADER = "stillwatch-delta"
# Older ones are read too: update serve before workers. The first had no distributions, the second no loops, the third
# tallies with the count below the code.
VERSION = 4
_TABLES = {"panes": PANES, "links": LINKS, "distributions": DISTRIBUTIONS, "loops": LOOPS}
_SINCE = {"panes": 1, "links": 1, "distributions": 2, "loops": 3}  # the version that a table came with


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Partition = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Instant = Annotated[int, msgspec.Meta(ge=-(2**55), le=2**57)]  # µs; years 828 to 6537: what a datetime can hold


class PartHeader(msgspec.Struct, frozen=True):
    """The header of one part. Its bounds are those of the store's columns: whatever passes here can be applied."""

    version: int
    partition: _Partition
    generation: Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
    from_offset: _Count
    to_offset: _Count
    committed: _Count
    watermark_us: _Instant | None
    idle: bool
    emitted_at_us: _Instant
    events: _Count
    duplicates: _Count
    late: _Count
    part: _Count
    parts: _Count
    table: str  # panes, links, distributions or loops


@dataclass(frozen=True, slots=True)
class Part:
    """One message: header bytes (under HEADER) and value."""

    header: bytes
    value: bytes


def encode_delta(delta: Delta, *, max_bytes: int = 900_000) -> list[Part]:
    """Serialise a delta into messages of about ``max_bytes`` at most; at least one, even when nothing was counted."""
    pieces = [("panes", piece) for piece in _pieces(delta.panes, max_bytes)]
    for table, frame in (("links", delta.links), ("distributions", delta.distributions), ("loops", delta.loops)):
        pieces += [(table, piece) for piece in _pieces(frame, max_bytes)] if frame.height else []
    return [
        Part(
            msgspec.json.encode(
                PartHeader(
                    VERSION,
                    delta.partition,
                    delta.generation,
                    delta.from_offset,
                    delta.to_offset,
                    delta.committed,
                    None if delta.watermark is None else _to_us(delta.watermark),
                    delta.idle,
                    _to_us(delta.emitted_at),
                    delta.events,
                    delta.duplicates,
                    delta.late,
                    number,
                    len(pieces),
                    table,
                )
            ),
            value,
        )
        for number, (table, value) in enumerate(pieces)
    ]


@dataclass(slots=True)
class _Unfinished:
    """Parts of one delta so far, and the offset of the first."""

    offset: int
    parts: list[tuple[PartHeader, pl.DataFrame]] = field(default_factory=list)


@dataclass(slots=True)
class DeltaAssembler:
    """Puts the parts of one topic back together.

    A part 0 begins a new delta and forgets an unfinished one of the same generation: its worker died. Generations are
    kept apart, since the last parts of a worker that was expelled may land between those of its successor; once a
    newer generation has completed a delta, what older ones left unfinished is forgotten.
    """

    topic: str
    _open: dict[int, dict[int, _Unfinished]] = field(default_factory=dict)

    def add(self, partition: int, offset: int, header: bytes | None, value: bytes | None) -> Delta | None:
        """Take one message in; return the delta it completes, if any.

        Raises:
            CorruptBatchError: the message is none of ours, damaged, or continues nothing; its delta is dropped.
        """
        try:
            return self._add(partition, offset, header, value)
        except _PartError as error:
            raise CorruptBatchError(self.topic, partition, offset, str(error)) from None

    def resume_offset(self, partition: int) -> int | None:
        """Where reading must begin after a restart to see unfinished deltas whole; None: there are none."""
        return min((item.offset for item in self._open.get(partition, {}).values()), default=None)

    def _add(self, partition: int, offset: int, header: bytes | None, value: bytes | None) -> Delta | None:
        head = _decode_header(header)
        generations = self._open.setdefault(partition, {})
        if head.part == 0:
            generations[head.generation] = _Unfinished(offset)
        pending = generations.get(head.generation)
        if pending is None or (head.part > 0 and not _continues(pending.parts[-1][0], head)):
            generations.pop(head.generation, None)
            raise _PartError(f"part {head.part} of {head.parts} continues nothing")
        try:
            pending.parts.append((head, _decode_table(head, value)))
        except _PartError:
            generations.pop(head.generation, None)
            raise
        if len(pending.parts) < head.parts:
            return None
        self._open[partition] = {key: item for key, item in generations.items() if key > head.generation}
        return _whole(head, pending.parts)


class _PartError(Exception):
    pass


def _decode_header(header: bytes | None) -> PartHeader:
    try:
        head = msgspec.json.decode(header or b"", type=PartHeader)
    except msgspec.MsgspecError as error:
        raise _PartError(f"no delta header: {error}") from None
    if not 1 <= head.version <= VERSION:
        raise _PartError(f"delta version {head.version}; this reads up to {VERSION}")
    if (
        _SINCE.get(head.table, VERSION + 1) > head.version
        or not 0 <= head.part < head.parts
        or head.from_offset > head.to_offset
    ):
        raise _PartError("the delta header contradicts itself")
    return head


def _decode_table(head: PartHeader, value: bytes | None) -> pl.DataFrame:
    try:
        frame = read_frame(value or b"")
    except ArrowError as error:
        raise _PartError(f"no Arrow batch: {error}") from None
    if frame.schema != _TABLES[head.table]:
        raise _PartError(f"columns differ from those of {head.table}, version {head.version}")
    if any(column.null_count() for column in frame):
        raise _PartError(f"nulls in {head.table}, where every column has a value")
    if head.table == "distributions" and not _possible(frame):
        raise _PartError("sums that no prompts have")
    if head.table == "loops" and not (frame["events"] > 0).all():
        raise _PartError("passages of no events")
    if head.table == "panes" and head.version <= 3:
        frame = frame.with_columns(tallies_of_version_3(frame["tally"]))
    return frame


def _possible(distributions: pl.DataFrame) -> bool:
    """Whether every sum is there and within what so many prompts can add up to."""
    sums = distributions["prompt_sum"].explode()
    most = distributions["events"].repeat_by(FEATURES).explode() * SCALE
    return sums.null_count() == 0 and bool(((sums <= most) & (sums >= -most)).all())


def _continues(before: PartHeader, after: PartHeader) -> bool:
    return (
        msgspec.structs.replace(before, part=after.part, table=after.table) == after and after.part == before.part + 1
    )


def _whole(head: PartHeader, parts: Iterable[tuple[PartHeader, pl.DataFrame]]) -> Delta:
    tables = {name: [schema.to_frame()] for name, schema in _TABLES.items()}
    for part, frame in parts:
        tables[part.table].append(frame)
    return Delta(
        partition=head.partition,
        generation=head.generation,
        from_offset=head.from_offset,
        to_offset=head.to_offset,
        committed=head.committed,
        watermark=None if head.watermark_us is None else _from_us(head.watermark_us),
        idle=head.idle,
        emitted_at=_from_us(head.emitted_at_us),
        events=head.events,
        duplicates=head.duplicates,
        late=head.late,
        panes=pl.concat(tables["panes"]),
        links=pl.concat(tables["links"]),
        distributions=pl.concat(tables["distributions"]),
        loops=pl.concat(tables["loops"]),
    )


def _pieces(frame: pl.DataFrame, max_bytes: int) -> Iterator[bytes]:
    sink = io.BytesIO()
    frame.write_ipc(sink, compression="zstd")
    if sink.tell() <= max_bytes or frame.height <= 1:
        yield sink.getvalue()
        return
    half = frame.height // 2
    yield from _pieces(frame.head(half), max_bytes)
    yield from _pieces(frame.tail(frame.height - half), max_bytes)


def _to_us(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000)


def _from_us(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1_000_000, UTC)
