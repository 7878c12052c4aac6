"""The body that carries a known set over HTTP: its marks as Arrow, and nothing of its text."""

from __future__ import annotations

import json
from typing import Annotated, Final

import msgspec
import polars as pl
import pyarrow as pa

from pipeline.corpora.marks import MARKS, KnownSet, check_name
from pipeline.corpora.read import MAX_ITEMS
from pipeline.errors import UsageError
from pipeline.events.fragments import MOST
from pipeline.serve.corpora import AddCorpus

MARKS_OF_AN_ITEM: Final = MOST + 1  # and its template
_HEAD: Final = b"stillwatch-corpus"
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ITEMS)]


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    replace: bool
    items: _Count
    duplicates: _Count
    too_short: _Count
    alike: _Count


def encode(change: AddCorpus) -> bytes:
    """An Arrow stream of the marks, not compressed (hashes do not shrink); what else is said stands in its schema."""
    known = change.known
    head = _Head(known.name, change.replace, known.items, known.duplicates, known.too_short, known.alike)
    table = known.marks.to_arrow().replace_schema_metadata({_HEAD: msgspec.json.encode(head)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode(body: bytes) -> AddCorpus:
    """What ``encode`` wrote, checked as from a stranger.

    Raises:
        UsageError: it is none, or does not add up.
    """
    try:
        with pa.ipc.open_stream(body) as reader:
            head = msgspec.json.decode((reader.schema.metadata or {})[_HEAD], type=_Head)
            table = reader.read_all()
        marks = pl.DataFrame(pl.from_arrow(table))
    except (pa.ArrowException, KeyError, msgspec.MsgspecError, pl.exceptions.PolarsError) as error:
        raise _bad(f"no known set: {error}") from None
    check_name(head.name)
    if marks.schema != MARKS or any(marks.null_count().row(0)):
        raise _bad(f"marks have the columns {json.dumps({name: str(kind) for name, kind in marks.schema.items()})}")
    known = KnownSet(
        name=head.name,
        items=head.items,
        duplicates=head.duplicates,
        too_short=head.too_short,
        alike=head.alike,
        marks=marks.sort("item", "template", "hash"),
    )
    if not known.findable or known.items != known.findable + known.duplicates + known.too_short + known.alike:
        raise _bad("its counts do not add up")
    most = marks.group_by("item").len()["len"].max()
    if marks.select("template", "hash").is_duplicated().any() or (isinstance(most, int) and most > MARKS_OF_AN_ITEM):
        raise _bad(f"a mark stands for two items, or an item has more than {MARKS_OF_AN_ITEM}")
    return AddCorpus(known, head.replace)


def _bad(what: str) -> UsageError:
    return UsageError(what, next_step="let stillwatch corpora add write it, of the same version as serve")
