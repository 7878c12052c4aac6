"""Events → panes and links: what an emission adds, computed in bulk from the events of one source partition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.batch import stack, told
from pipeline.fingerprint.batch import ENTITIES, Batch
from pipeline.fingerprint.grouping import (
    Coded,
    Groups,
    Ints,
    code_integers,
    combine,
    group,
    hex16,
)
from pipeline.fingerprint.schema import FRAGMENTS_KEPT, LINKS, PANES, SUMS
from pipeline.fingerprint.sketch import empty_lists, sketches, tally

_NO_PANES: Final = frozenset({"model", "asn", "fragment"})
_SKETCHED: Final = frozenset({"account", "api_key"})
_LINKS: Final = (
    (
        "account",
        frozenset(
            {"template", "system_prompt", "client", "network", "api_key", "end_user", "model", "asn"}
            | {"reasoning_blob", "fragment"}
        ),
    ),
    ("api_key", frozenset({"network", "client"})),
)


_Columns = dict[str, npt.NDArray[np.int64] | pl.Series]  # of one part, as long as each other


def aggregate(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What ``events`` (of ``stack``, without duplicates) add: a PANES and a LINKS frame.

    Rows are in order of (kind, entity_id, pane) and (source_kind, source_id, target_kind, target_id, hour); the same
    events in any order and any split, merged, give the same frames.
    """
    [found] = aggregate_each([events])
    return found


def aggregate_each(
    shares: Sequence[pl.DataFrame], kinds: Collection[str] | None = None
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """``aggregate`` of each frame, in one: of a slow stream a call costs more than what it does to a partition.

    ``kinds`` are what is told apart beside accounts (``worker.entities``); None: all.
    """
    none = PANES.to_frame(), LINKS.to_frame()
    filled = [number for number, events in enumerate(shares) if not events.is_empty()]
    if not filled:
        return [none for _ in shares]
    events = stack([shares[number] for number in filled])
    heights = [shares[number].height for number in filled]
    kinds = ENTITIES if kinds is None else {"account", *kinds}
    batch = Batch.of(events, np.repeat(np.arange(len(filled)), heights), len(filled), kinds)
    parts = _parts(events, batch, kinds)
    panes = [_panes(part) for part in parts if part.kind not in _NO_PANES]
    links = [_linked(source, [part for part in parts if part.kind in targets]) for source, targets in _LINKS]
    found = dict(
        zip(
            filled,
            zip(
                _frames(panes, PANES, batch.shares),
                _frames([part for part in links if part is not None], LINKS, batch.shares),
                strict=True,
            ),
            strict=True,
        )
    )
    return [found.get(number, none) for number in range(len(shares))]


@dataclass(frozen=True, slots=True)
class _Part:
    """Events by one kind of entity."""

    kind: str
    entity: Coded
    batch: Batch


def _parts(events: pl.DataFrame, batch: Batch, kinds: Collection[str]) -> list[_Part]:
    """By kind, in order."""
    parts = [_Part(kind, entity, batch) for kind, entity in batch.entities.items()]
    exploded = [_EXPLODED[kind](events, batch) for kind in _EXPLODED.keys() & kinds]
    return sorted((*parts, *(part for part in exploded if part is not None)), key=lambda part: part.kind)


def _frames(parts: Sequence[_Columns], schema: pl.Schema, shares: int) -> list[pl.DataFrame]:
    """All parts below each other, column by column, taken apart by share: a frame a part took most of the time."""
    if not parts:
        return [schema.to_frame() for _ in range(shares)]
    columns = _below_each_other(parts, ["share", *schema.names()])
    share = columns.pop("share")
    assert isinstance(share, np.ndarray)
    if shares > 1:
        order = np.argsort(share, kind="stable")
        share, columns = share[order], _taken(columns, order)
    frame = pl.DataFrame(columns).cast(schema)
    bounds = np.searchsorted(share, np.arange(shares + 1)).tolist()
    return [frame[first:end] for first, end in pairwise(bounds)]


def _below_each_other(parts: Sequence[_Columns], names: Sequence[str]) -> _Columns:
    columns: _Columns = {}
    for name in names:
        pieces: list[Any] = [part[name] for part in parts]  # all arrays, or all series
        columns[name] = np.concatenate(pieces) if isinstance(pieces[0], np.ndarray) else pl.concat(pieces)
    return columns


def _constant(text: str, count: int) -> pl.Series:
    return pl.Series([text], dtype=pl.String).new_from_index(0, count)


def _panes(part: _Part) -> _Columns:
    """In order of (share, entity, pane)."""
    entity, batch = part.entity, part.batch
    keys, limit = combine((batch.share, batch.shares), (entity.codes, entity.size), (batch.pane.codes, batch.pane.size))
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    ids = groups.keys // batch.pane.size
    members = groups.members(len(keys))
    zeros = np.zeros(count, dtype=np.int64)
    sketched = part.kind in _SKETCHED
    return {
        "share": ids // entity.size,
        "kind": _constant(part.kind, count),
        "entity_id": entity.values.gather(ids % entity.size),
        "pane": batch.pane.values.gather(groups.keys % batch.pane.size),
        **{name: groups.sum(batch.sums[name]) if name in batch.sums else zeros for name in SUMS if name != "events"},
        "events": groups.count(),
        **_seen(groups, batch.time_us),
        "tally": tally(members, count, batch.tallies),
        "ip_sketch": sketches(members, count, batch.ip) if sketched else empty_lists(count),
        "prompt_sketch": sketches(members, count, batch.prompt) if sketched else empty_lists(count),
    }


def _linked(source_kind: str, targets: Sequence[_Part]) -> _Columns | None:
    """Links of a kind of source to all ``targets`` (kinds in order), in order of (share, source, kind, target)."""
    found = [_links(source_kind, target) for target in targets if source_kind in target.batch.entities]
    if not found:
        return None
    columns = _below_each_other(found, ["share", "source", *LINKS.names()])
    # Of each source the links to one kind come before those to the next, as the parts do: a stable sort keeps that.
    source = columns["source"]
    assert isinstance(source, np.ndarray)
    return _taken(columns, np.argsort(source, kind="stable"))


def _links(source_kind: str, target: _Part) -> _Columns:
    """In order of (share, source, target, hour); ``source`` numbers the sources of all shares."""
    entity, batch = target.entity, target.batch
    source = batch.entities[source_kind]
    keys, limit = combine(
        (batch.share, batch.shares),
        (source.codes, source.size),
        (entity.codes, entity.size),
        (batch.hour.codes, batch.hour.size),
    )
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    pair, hour = groups.keys // batch.hour.size, groups.keys % batch.hour.size
    owner = pair // entity.size
    found: _Columns = {
        "share": owner // source.size,
        "source": owner,
        "hour": batch.hour.values.gather(hour),
        "source_kind": _constant(source_kind, count),
        "source_id": source.values.gather(owner % source.size),
        "target_kind": _constant(target.kind, count),
        "target_id": entity.values.gather(pair % entity.size),
        "events": groups.count(),
        "output_tokens": groups.sum(batch.sums["output_tokens"])
        if "output_tokens" in batch.sums
        else np.zeros(count, dtype=np.int64),
        **_seen(groups, batch.time_us),
    }
    if target.kind != "fragment":
        return found
    return _taken(found, np.flatnonzero(_place(owner * batch.hour.size + hour) < FRAGMENTS_KEPT))


def _place(owner: Ints) -> Ints:
    """Of each row how many rows of the same owner are before it."""
    order = np.argsort(owner, kind="stable")
    ordered = owner[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    places = np.empty(len(owner), dtype=np.int64)
    places[order] = np.arange(len(owner)) - np.repeat(starts, np.diff(starts, append=len(owner)))
    return places


def _taken(columns: _Columns, rows: Ints) -> _Columns:
    return {
        name: column.gather(rows) if isinstance(column, pl.Series) else column[rows] for name, column in columns.items()
    }


def _blobs(events: pl.DataFrame, batch: Batch) -> _Part | None:
    """Reasoning blobs: a row a distinct blob of an event, of which there is one."""
    return _exploded("reasoning_blob", told(events, "reasoning_blobs"), batch, unique=True)


def _fragments(events: pl.DataFrame, batch: Batch) -> _Part | None:
    """Fragments, which have no panes and of each account and hour only FRAGMENTS_KEPT links, to the smallest.

    What is among the smallest of all is among the smallest of every part, so its count is whole: whoever reads takes
    the smallest again, and sees the same however the events were split.
    """
    return _exploded("fragment", told(events, "fragments"), batch, unique=False)


def _exploded(kind: str, lists: pl.Series | None, batch: Batch, *, unique: bool) -> _Part | None:
    if lists is None:
        return None
    rows = lists.to_frame("hash").with_row_index("row").drop_nulls("hash")
    if unique:
        rows = rows.with_columns(pl.col("hash").list.unique())
    rows = rows.explode("hash").drop_nulls("hash")
    coded = code_integers(rows["hash"])
    if coded is None:
        return None
    return _Part(kind, Coded(coded.codes, hex16(coded.values)), batch.taken(rows["row"].to_numpy()))


_EXPLODED: Final[dict[str, Callable[[pl.DataFrame, Batch], _Part | None]]] = {
    "reasoning_blob": _blobs,
    "fragment": _fragments,
}


def _seen(groups: Groups, time_us: Ints) -> dict[str, Ints]:
    return {"first_seen": groups.minimum(time_us), "last_seen": groups.maximum(time_us)}
