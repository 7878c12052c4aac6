"""Events → panes and links: what an emission adds, computed in bulk from the events of one source partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.fingerprint.grouping import Coded, Groups, Ints, code_integers, code_strings, combine, group, hex16
from pipeline.fingerprint.hashing import hash_text
from pipeline.fingerprint.schema import FRAGMENTS_KEPT, HOUR_S, LINKS, PANE_S, PANES, SUMS
from pipeline.fingerprint.sketch import empty_lists, sketches, tally, tally_codes

_PANE_US: Final = PANE_S * 1_000_000
_HOUR_US: Final = HOUR_S * 1_000_000
_NO_PANES: Final = frozenset({"model", "asn"})
_SKETCHED: Final = frozenset({"account", "api_key"})
_LINKS: Final = (
    ("account", ("template", "system_prompt", "client", "network", "api_key", "end_user", "model", "asn")),
    ("api_key", ("network", "client")),
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
    panes = [_panes(kind, entity, batch) for kind, entity in batch.entities.items() if kind not in _NO_PANES]
    links = [
        _links(source_kind, batch.entities[source_kind], target_kind, batch.entities[target_kind], batch)
        for source_kind, targets in _LINKS
        for target_kind in targets
        if source_kind in batch.entities and target_kind in batch.entities
    ]
    if events["reasoning_blobs"].null_count() < len(events):
        blobs = events.filter(pl.col("reasoning_blobs").list.drop_nulls().list.len() > 0)
        if not blobs.is_empty():
            pane, link = _blobs(blobs)
            panes.append(pane)
            links.append(link)
    linked = _frame(links, LINKS)
    if events["fragments"].null_count() < len(events):
        linked = pl.concat([linked, _fragments(events)])
    return sort_panes(_frame(panes, PANES)), sort_links(linked)


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
    found["asn"] = None if asn is None else Coded(asn.codes, asn.values.cast(pl.String))
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
    if not parts:
        return schema.to_frame()
    columns: _Columns = {}
    for name in schema.names():
        pieces: list[Any] = [part[name] for part in parts]  # all arrays, or all series
        columns[name] = np.concatenate(pieces) if isinstance(pieces[0], np.ndarray) else pl.concat(pieces)
    return pl.DataFrame(columns).cast(schema)


def _constant(text: str, count: int) -> pl.Series:
    return pl.Series([text], dtype=pl.String).new_from_index(0, count)


def _panes(kind: str, entity: Coded, batch: _Batch) -> _Columns:
    keys, limit = combine((entity.codes, entity.size), (batch.pane.codes, batch.pane.size))
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    members = groups.members(len(keys))
    zeros = np.zeros(count, dtype=np.int64)
    sketched = kind in _SKETCHED
    return {
        "kind": _constant(kind, count),
        "entity_id": entity.values.gather(groups.keys // batch.pane.size),
        "pane": batch.pane.values.gather(groups.keys % batch.pane.size),
        **{name: groups.sum(batch.sums[name]) if name in batch.sums else zeros for name in SUMS if name != "events"},
        "events": groups.count(),
        **_seen(groups, batch.time_us),
        "tally": tally(members, count, batch.tallies),
        "ip_sketch": sketches(members, count, batch.ip) if sketched else empty_lists(count),
        "prompt_sketch": sketches(members, count, batch.prompt) if sketched else empty_lists(count),
    }


def _links(source_kind: str, source: Coded, target_kind: str, target: Coded, batch: _Batch) -> _Columns:
    keys, limit = combine((source.codes, source.size), (target.codes, target.size), (batch.hour.codes, batch.hour.size))
    groups = group(keys, key_limit=limit)
    count = len(groups.keys)
    pair = groups.keys // batch.hour.size
    return {
        "hour": batch.hour.values.gather(groups.keys % batch.hour.size),
        "source_kind": _constant(source_kind, count),
        "source_id": source.values.gather(pair // target.size),
        "target_kind": _constant(target_kind, count),
        "target_id": target.values.gather(pair % target.size),
        "events": groups.count(),
        "output_tokens": groups.sum(batch.sums["output_tokens"])
        if "output_tokens" in batch.sums
        else np.zeros(count, dtype=np.int64),
        **_seen(groups, batch.time_us),
    }


def _blobs(events: pl.DataFrame) -> tuple[_Columns, _Columns]:
    """Panes of reasoning blobs and links to them: a row a distinct blob of an event, of which there is one."""
    exploded = (
        events.with_columns(pl.col("reasoning_blobs").list.unique())
        .explode("reasoning_blobs")
        .drop_nulls("reasoning_blobs")
    )
    batch = _Batch.of(exploded)
    coded = code_integers(exploded["reasoning_blobs"])
    assert coded is not None
    blob = Coded(coded.codes, hex16(coded.values))
    return (
        _panes("reasoning_blob", blob, batch),
        _links("account", batch.entities["account"], "reasoning_blob", blob, batch),
    )


def _fragments(events: pl.DataFrame) -> pl.DataFrame:
    """Links to fragments, without panes: of each account and hour the FRAGMENTS_KEPT smallest.

    What is among the smallest of all is among the smallest of every part, so its count is whole: whoever reads takes
    the smallest again, and sees the same however the events were split.
    """
    exploded = events.explode("fragments").drop_nulls("fragments")
    if exploded.is_empty():
        return LINKS.to_frame()
    coded = code_integers(exploded["fragments"])
    assert coded is not None
    batch = _Batch.of(exploded)
    fragment = Coded(coded.codes, hex16(coded.values))
    links = _frame([_links("account", batch.entities["account"], "fragment", fragment, batch)], LINKS)
    return links.filter(pl.col("target_id").rank("ordinal").over("source_id", "hour") <= FRAGMENTS_KEPT)


def _seen(groups: Groups, time_us: Ints) -> dict[str, Ints]:
    return {"first_seen": groups.minimum(time_us), "last_seen": groups.maximum(time_us)}
