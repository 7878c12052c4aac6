"""Deltas as messages: one or more Arrow parts with the delta's own facts in a header; whole again only when all are there."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import polars as pl

from pipeline.errors import CorruptBatchError
from pipeline.fingerprint.schema import LINKS, PANES, Delta

HEADER = "stillwatch-delta"
VERSION = 1


class PartHeader(msgspec.Struct, frozen=True):
    """The header of one part."""

    version: int
    partition: int
    generation: int
    from_offset: int
    to_offset: int
    committed: int
    watermark_us: int | None
    idle: bool
    emitted_at_us: int
    events: int
    duplicates: int
    late: int
    part: int
    parts: int
    table: str  # panes or links


@dataclass(frozen=True, slots=True)
class Part:
    """One message: header bytes (under HEADER) and value."""

    header: bytes
    value: bytes


def encode_delta(delta: Delta, *, max_bytes: int = 900_000) -> list[Part]:
    """Serialise a delta into messages of at most about ``max_bytes``; always at least one, even when nothing was counted."""
    pieces = [("panes", piece) for piece in _pieces(delta.panes, max_bytes)]
    pieces += [("links", piece) for piece in _pieces(delta.links, max_bytes)] if delta.links.height else []
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
class DeltaAssembler:
    """Puts parts of one topic back together. A part 0 begins a new delta and forgets an unfinished one: its worker died."""

    topic: str
    _open: dict[int, list[tuple[PartHeader, pl.DataFrame]]] = field(default_factory=dict)

    def add(self, partition: int, offset: int, header: bytes | None, value: bytes | None) -> Delta | None:
        """Take one message in; return the delta it completes, if any.

        Raises:
            CorruptBatchError: the message is none of ours, is damaged, or continues nothing. The unfinished delta is dropped.
        """
        try:
            return self._add(partition, header, value)
        except _PartError as error:
            self._open.pop(partition, None)
            raise CorruptBatchError(self.topic, partition, offset, str(error)) from None

    def _add(self, partition: int, header: bytes | None, value: bytes | None) -> Delta | None:
        head, frame = _decode_part(header, value)
        pending = self._open.setdefault(partition, [])
        if head.part == 0:
            pending.clear()
        elif not pending or not _continues(pending[-1][0], head):
            raise _PartError(f"part {head.part} of {head.parts} continues nothing")
        pending.append((head, frame))
        if len(pending) < head.parts:
            return None
        del self._open[partition]
        return _whole(head, pending)


class _PartError(Exception):
    pass


def _decode_part(header: bytes | None, value: bytes | None) -> tuple[PartHeader, pl.DataFrame]:
    try:
        head = msgspec.json.decode(header or b"", type=PartHeader)
    except msgspec.MsgspecError as error:
        raise _PartError(f"no delta header: {error}") from None
    if head.version != VERSION:
        raise _PartError(f"delta version {head.version}; this reads {VERSION}")
    expected = {"panes": PANES, "links": LINKS}.get(head.table)
    if expected is None or not 0 <= head.part < head.parts or head.from_offset > head.to_offset:
        raise _PartError("the delta header contradicts itself")
    try:
        frame = pl.read_ipc(io.BytesIO(value or b""))
    except (pl.exceptions.PolarsError, OSError, ValueError, pl.exceptions.PanicException) as error:
        raise _PartError(f"no Arrow batch: {str(error)[:200]}") from None
    if frame.schema != expected:
        raise _PartError(f"columns differ from those of {head.table}, version {VERSION}")
    return head, frame


def _continues(before: PartHeader, after: PartHeader) -> bool:
    return msgspec.structs.replace(before, part=after.part, table=after.table) == after and after.part == before.part + 1


def _whole(head: PartHeader, parts: Iterable[tuple[PartHeader, pl.DataFrame]]) -> Delta:
    tables: dict[str, list[pl.DataFrame]] = {"panes": [PANES.to_frame()], "links": [LINKS.to_frame()]}
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
