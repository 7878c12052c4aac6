"""Events → panes and links: what an emission adds, computed in bulk from the events of one source partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.fingerprint.grouping import (
    Coded,
    Groups,
    Ints,
    code_integers,
    code_strings,
    combine,
    group,
    hex16,
    in_order,
)
from pipeline.fingerprint.hashing import hash_text
from pipeline.fingerprint.schema import FRAGMENTS_KEPT, HOUR_S, LINKS, PANE_S, PANES, SUMS
from pipeline.fingerprint.sketch import empty_lists, sketches, tally, tally_codes

_PANE_US: Final = PANE_S * 1_000_000
_HOUR_US: Final = HOUR_S * 1_000_000
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
    """What ``events`` (EVENTS, duplicates already gone) add: a PANES and a LINKS frame.

    Rows are in order of (kind, entity_id, pane) and (source_kind, source_id, target_kind, target_id, hour); the same
    events in any order and any split, merged, give the same frames.
    """
    if events.is_empty():
        return PANES.to_frame(), LINKS.to_frame()
    batch = _Batch.of(events)
    parts = [_Part(kind, entity, batch) for kind, entity in batch.entities.items()]
    exploded = [_blobs(events, batch), _fragments(events, batch)]
    parts = sorted((*parts, *(part for part in exploded if part is not None)), key=lambda part: part.kind)
    panes = [_panes(part) for part in parts if part.kind not in _NO_PANES]
    links = [_linked(source, [part for part in parts if part.kind in targets]) for source, targets in _LINKS]
    return _frame(panes, PANES), _frame([part for part in links if part is not None], LINKS)


def sort_panes(panes: pl.DataFrame) -> pl.DataFrame:
    """The one order of rows that PANES frames have."""
    return panes.sort("kind", "entity_id", "pane")


def sort_links(links: pl.DataFrame) -> pl.DataFrame:
    """The one order of rows that LINKS frames have."""
    return links.sort("source_kind", "source_id", "target_kind", "target_id", "hour")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events as arrays that all groupings share."""

    time_us: Ints
    pane: Coded  # values: starts in µs
    hour: Coded
    sums: dict[str, Ints]  # those of SUMS that are not zero throughout; without `events`
    tallies: list[Ints]
    ip: pl.Series | None
    prompt: pl.Series | None
    entities: dict[str, Coded]  # values: ids as text

    @classmethod
    def of(cls, events: pl.DataFrame) -> _Batch:
        time_us = events["timestamp"].to_physical().to_numpy()
        return cls(
            time_us=time_us,
            pane=_floor(time_us, _PANE_US),
            hour=_floor(time_us, _HOUR_US),
            sums=_sums(events),
            tallies=tally_codes(events),
            ip=hash_text(events["ip"]) if events["ip"].null_count() < len(events) else None,
            prompt=events["prompt_hash"],
            entities=_entities(events),
        )

    def taken(self, rows: Ints) -> _Batch:
        """Of some rows, in that order and as often as they are named, what panes and links without sketches need."""
        return _Batch(
            time_us=self.time_us[rows],
            pane=Coded(self.pane.codes[rows], self.pane.values),
            hour=Coded(self.hour.codes[rows], self.hour.values),
            sums={name: column[rows] for name, column in self.sums.items()},
            tallies=[codes[rows] for codes in self.tallies],
            ip=None,
            prompt=None,
            entities={"account": Coded(self.entities["account"].codes[rows], self.entities["account"].values)},
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Events by one kind of entity."""

    kind: str
    entity: Coded
    batch: _Batch


def _floor(time_us: Ints, step_us: int) -> Coded:
    # Coding the distinct starts, not the span between first and last, keeps keys small when old data is replayed.
    starts = time_us // step_us
    low = int(starts.min())
    span = int(starts.max()) - low + 1
    if span <= 1 << 20:
        present = np.zeros(span, dtype=bool)
        present[starts - low] = True
        codes = (np.cumsum(present) - 1)[starts - low]
        values = np.flatnonzero(present) + low
    else:
        values, codes = np.unique(starts, return_inverse=True)
    return Coded(codes.astype(np.int64), pl.Series(values * step_us, dtype=pl.Int64))


def _entities(events: pl.DataFrame) -> dict[str, Coded]:
    found: dict[str, Coded | None] = {
        "account": code_strings(events["account_id"]),
        "api_key": code_strings(events["api_key_id"]),
        "end_user": code_strings(events["user_id"]),
        "client": code_strings(events["client"]),
        "network": code_strings(events["network"]),
        "model": code_strings(events["model"]),
    }
    for kind, name in (("template", "template_hash"), ("system_prompt", "system_hash")):
        coded = code_integers(events[name])
        found[kind] = None if coded is None else Coded(coded.codes, hex16(coded.values))
    asn = code_integers(events["asn"])
    found["asn"] = None if asn is None else in_order(asn.codes, asn.values.cast(pl.String))
    return {kind: coded for kind, coded in found.items() if coded is not None}


def _sums(events: pl.DataFrame) -> dict[str, Ints]:
    """The summed columns, a value a row; what is null counts as 0. Columns that are 0 throughout are left out."""
    col = pl.col
    wanted: dict[str, tuple[tuple[str, ...], pl.Expr]] = {
        "errors": (("status",), col("status") >= 400),
        "rate_limited": (("status",), col("status") == 429),
        "refused": (("refused",), col("refused")),
        "input_tokens": (("input_tokens",), col("input_tokens")),
        "output_tokens": (("output_tokens",), col("output_tokens")),
        "cached_tokens": (("cached_tokens",), col("cached_tokens")),
        "reasoning_tokens": (("reasoning_tokens",), col("reasoning_tokens")),
        "input_tokens_sq": (("input_tokens",), col("input_tokens") * col("input_tokens")),
        "output_tokens_sq": (("output_tokens",), col("output_tokens") * col("output_tokens")),
        "latency_ms": (("latency_ms",), col("latency_ms")),
        "latency_events": (("latency_ms",), col("latency_ms").is_not_null()),
        "single_turn": (("message_count",), col("message_count") <= 2),
        "tool_events": (("tool_count",), col("tool_count") > 0),
        "streamed": (("stream",), col("stream")),
        "sampled_n": (("n",), col("n") > 1),
        "logprobs": (("logprobs",), col("logprobs")),
        "seeded": (("seed",), col("seed").is_not_null()),
        "capped": (
            ("max_tokens", "finish_reason"),
            (col("output_tokens") >= col("max_tokens")).fill_null(value=False)
            | (col("finish_reason") == "length").fill_null(value=False),
        ),
    }
    assert set(wanted) == set(SUMS) - {"events"}
    there = {name for name in events.columns if events[name].null_count() < len(events)}
    frame = events.select(
        expression.cast(pl.Int64).fill_null(0).alias(name)
        for name, (needs, expression) in wanted.items()
        if there.intersection(needs)
    )
    return {name: column for name in frame.columns for column in (frame[name].to_numpy(),) if column.any()}


def _frame(parts: Sequence[_Columns], schema: pl.Schema) -> pl.DataFrame:
    """All parts below each other, column by column: a frame a part took most of the time of small emissions."""
    return pl.DataFrame(_below_each_other(parts, schema.names())).cast(schema) if parts else schema.to_frame()


def _below_each_other(parts: Sequence[_Columns], names: Sequence[str]) -> _Columns:
    columns: _Columns = {}
    for name in names:
        pieces: list[Any] = [part[name] for part in parts]  # all arrays, or all series
        columns[name] = np.concatenate(pieces) if isinstance(pieces[0], np.ndarray) else pl.concat(pieces)
    return columns


def _constant(text: str, count: int) -> pl.Series:
    return pl.Series([text], dtype=pl.String).new_from_index(0, count)


def _panes(part: _Part) -> _Columns:
    """In order of (entity, pane)."""
    entity, batch = part.entity, part.batch
    keys, limit = combine((entity.codes, entity.size), (batch.pane.codes, batch.pane.size))
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    members = groups.members(len(keys))
    zeros = np.zeros(count, dtype=np.int64)
    sketched = part.kind in _SKETCHED
    return {
        "kind": _constant(part.kind, count),
        "entity_id": entity.values.gather(groups.keys // batch.pane.size),
        "pane": batch.pane.values.gather(groups.keys % batch.pane.size),
        **{name: groups.sum(batch.sums[name]) if name in batch.sums else zeros for name in SUMS if name != "events"},
        "events": groups.count(),
        **_seen(groups, batch.time_us),
        "tally": tally(members, count, batch.tallies),
        "ip_sketch": sketches(members, count, batch.ip) if sketched else empty_lists(count),
        "prompt_sketch": sketches(members, count, batch.prompt) if sketched else empty_lists(count),
    }


def _linked(source_kind: str, targets: Sequence[_Part]) -> _Columns | None:
    """Links of one kind of source to all ``targets``, whose kinds are in order: in order of (source, kind, target)."""
    found = [_links(source_kind, target) for target in targets if source_kind in target.batch.entities]
    if not found:
        return None
    columns = _below_each_other(found, ["source", *LINKS.names()])
    # Of each source the links to one kind come before those to the next, as the parts do: a stable sort keeps that.
    source = columns["source"]
    assert isinstance(source, np.ndarray)
    return _taken(columns, np.argsort(source, kind="stable"))


def _links(source_kind: str, target: _Part) -> _Columns:
    """In order of (source, target, hour); with the codes of the sources."""
    entity, batch = target.entity, target.batch
    source = batch.entities[source_kind]
    keys, limit = combine((source.codes, source.size), (entity.codes, entity.size), (batch.hour.codes, batch.hour.size))
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    pair, hour = groups.keys // batch.hour.size, groups.keys % batch.hour.size
    found: _Columns = {
        "source": pair // entity.size,
        "hour": batch.hour.values.gather(hour),
        "source_kind": _constant(source_kind, count),
        "source_id": source.values.gather(pair // entity.size),
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
    owner = pair // entity.size * batch.hour.size + hour
    return _taken(found, np.flatnonzero(_place(owner) < FRAGMENTS_KEPT))


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


def _blobs(events: pl.DataFrame, batch: _Batch) -> _Part | None:
    """Reasoning blobs: a row a distinct blob of an event, of which there is one."""
    return _exploded("reasoning_blob", events["reasoning_blobs"], batch, unique=True)


def _fragments(events: pl.DataFrame, batch: _Batch) -> _Part | None:
    """Fragments, which have no panes and of each account and hour only FRAGMENTS_KEPT links, to the smallest.

    What is among the smallest of all is among the smallest of every part, so its count is whole: whoever reads takes
    the smallest again, and sees the same however the events were split.
    """
    return _exploded("fragment", events["fragments"], batch, unique=False)


def _exploded(kind: str, lists: pl.Series, batch: _Batch, *, unique: bool) -> _Part | None:
    if lists.null_count() == len(lists):
        return None
    rows = lists.to_frame("hash").with_row_index("row").drop_nulls("hash")
    if unique:
        rows = rows.with_columns(pl.col("hash").list.unique())
    rows = rows.explode("hash").drop_nulls("hash")
    coded = code_integers(rows["hash"])
    if coded is None:
        return None
    return _Part(kind, Coded(coded.codes, hex16(coded.values)), batch.taken(rows["row"].to_numpy()))


def _seen(groups: Groups, time_us: Ints) -> dict[str, Ints]:
    return {"first_seen": groups.minimum(time_us), "last_seen": groups.maximum(time_us)}
