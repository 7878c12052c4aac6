"""Events as arrays that all groupings of an emission have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.batch import told
from pipeline.events.schema import EVENTS
from pipeline.fingerprint.grouping import Coded, Ints, code_integers, code_strings, hex16, in_order
from pipeline.fingerprint.hashing import hash_text
from pipeline.fingerprint.schema import HOUR_S, PANE_S, SUMS
from pipeline.fingerprint.sketch import tally_codes

_PANE_US: Final = PANE_S * 1_000_000
_HOUR_US: Final = HOUR_S * 1_000_000
_Code = Callable[[pl.DataFrame], Coded | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as arrays that all groupings have in common."""

    share: Ints  # whose the event is, of so many
    shares: int
    time_us: Ints
    pane: Coded  # values: starts in µs
    hour: Coded
    sums: dict[str, Ints]  # those of SUMS that are not zero throughout; without `events`
    tallies: list[Ints]
    ip: pl.Series | None
    prompt: pl.Series | None
    entities: dict[str, Coded]  # values: ids as text

    @classmethod
    def of(cls, events: pl.DataFrame, share: Ints, shares: int, kinds: Collection[str]) -> Batch:
        """Of events (of ``stack``, at least one), each of the one of ``shares`` that ``share`` says.

        ``kinds`` are the entities that are told apart.
        """
        time_us = events["timestamp"].to_physical().to_numpy()
        return cls(
            share=share,
            shares=shares,
            time_us=time_us,
            pane=_floor(time_us, _PANE_US),
            hour=_floor(time_us, _HOUR_US),
            sums=_sums(events),
            tallies=tally_codes(events),
            ip=None if (ip := told(events, "ip")) is None else hash_text(ip),
            prompt=told(events, "prompt_hash"),
            entities=_entities(events, kinds),
        )

    def taken(self, rows: Ints) -> Batch:
        """Of some rows, in that order and as often as they are named, what panes and links without sketches need."""
        return Batch(
            share=self.share[rows],
            shares=self.shares,
            time_us=self.time_us[rows],
            pane=Coded(self.pane.codes[rows], self.pane.values),
            hour=Coded(self.hour.codes[rows], self.hour.values),
            sums={name: column[rows] for name, column in self.sums.items()},
            tallies=[codes[rows] for codes in self.tallies],
            ip=None,
            prompt=None,
            entities={"account": Coded(self.entities["account"].codes[rows], self.entities["account"].values)},
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


def _entities(events: pl.DataFrame, kinds: Collection[str]) -> dict[str, Coded]:
    found = {kind: _ENTITIES[kind](events) for kind in _ENTITIES if kind in kinds}
    return {kind: coded for kind, coded in found.items() if coded is not None}


def _text(name: str) -> _Code:
    return lambda events: code_strings(told(events, name))


def _hash(name: str) -> _Code:
    def code(events: pl.DataFrame) -> Coded | None:
        coded = code_integers(told(events, name))
        return None if coded is None else Coded(coded.codes, hex16(coded.values))

    return code


def _number(name: str) -> _Code:
    def code(events: pl.DataFrame) -> Coded | None:
        coded = code_integers(told(events, name))
        return None if coded is None else in_order(coded.codes, coded.values.cast(pl.String))

    return code


_ENTITIES: Final[dict[str, _Code]] = {
    "account": _text("account_id"),
    "api_key": _text("api_key_id"),
    "end_user": _text("user_id"),
    "client": _text("client"),
    "network": _text("network"),
    "model": _text("model"),
    "template": _hash("template_hash"),
    "system_prompt": _hash("system_hash"),
    "asn": _number("asn"),
}
ENTITIES: Final = frozenset((*_ENTITIES, "reasoning_blob", "fragment"))  # of these an event may have several


def _sums(events: pl.DataFrame) -> dict[str, Ints]:
    """The summed columns, a value a row; what is null counts as 0. Columns that are 0 throughout are left out."""
    there = {name for name in events.columns if told(events, name) is not None}

    def col(name: str) -> pl.Expr:
        return pl.col(name) if name in there else pl.lit(None, EVENTS[name])

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
    frame = events.select(
        expression.cast(pl.Int64).fill_null(0).alias(name)
        for name, (needs, expression) in wanted.items()
        if there.intersection(needs)
    )
    return {name: column for name in frame.columns for column in (frame[name].to_numpy(),) if column.any()}
