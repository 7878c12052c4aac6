"""Checks: native fields as text → typed columns, and for each refused request the first reason, with the field named.

A wrong type in an optional field refuses the request too: evidence is never guessed. A detail names the field and the
rule, never the value: it might be text of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import polars as pl

from pipeline.config import EventSettings
from pipeline.events import native
from pipeline.events.schema import EVENTS, Reason
from pipeline.events.timestamps import read_timestamps

REFUSED: Final = pl.Schema({"at": pl.UInt32, "reason": pl.String, "detail": pl.String})
NOBODY: Final = REFUSED.to_frame()

_LONGEST_ID: Final = 1024
_SAFE_INTEGER: Final = 2**53
_WEEK_MS: Final = 7 * 86_400_000
_INT32: Final = 2**31 - 1
_TOKENS: Final = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_LIMITS: Final[dict[str, tuple[int, int]]] = {
    "status": (0, 999),
    "max_tokens": (-1, _SAFE_INTEGER),  # -1: no limit, as several servers say it
    "n": (0, _INT32),
    "seed": (-(2**63), 2**63 - 1),
    "message_count": (0, _INT32),
    "tool_count": (0, _INT32),
    "tool_call_count": (0, _INT32),
    "asn": (0, 2**32 - 1),
    "latency_ms": (0, _WEEK_MS),
    "ttft_ms": (0, _WEEK_MS),
}
_BEYOND_64_BITS: Final = 9e18
_NUMBERED_FLAG: Final = r"^\d+$"
# What is read from text, and as what; then what is narrower in an event.
_READ: Final = {
    **dict.fromkeys((*native.WHOLE, *native.DURATIONS), pl.Int64),
    **dict.fromkeys(native.FRACTIONS, pl.Float64),
    **dict.fromkeys(native.FLAGS, pl.Boolean),
}
_TEXTS: Final = [pl.col("source_format"), *(pl.col(name).alias(f"~{name}") for name in ("timestamp", *_READ))]
_MAYBE: Final = (*native.IDS, *_READ)
_NARROW: Final = [
    pl.col(name).cast(EVENTS[name], strict=False) for name, kind in _READ.items() if EVENTS.get(name, kind) != kind
]


@dataclass(frozen=True, slots=True)
class _Fault:
    """A fault that rows may have: expressions over texts (their names behind a tilde) and what they were read as.

    ``asks`` says cheaply whether any row may have it (one value); ``mask`` which rows have it.
    """

    asks: pl.Expr
    mask: pl.Expr
    reason: Reason
    detail: str


def check(wire: pl.DataFrame, settings: EventSettings, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed columns for every row of ``wire`` (null where refused), and the refused rows (REFUSED), once each.

    A call of Polars costs more than what it does to a batch of a steady stream, and so does making its expressions. So
    all is read in one, all that may be wrong asked in another, only what is wrong looked for row by row, and the
    expressions are kept.
    """
    there = frozenset(name for name in _MAYBE if wire[name].null_count() < len(wire))
    stamps = read_timestamps(wire["timestamp"]).alias("timestamp")
    typed = wire.select(*native.IDS, stamps, *_reads(there), *native.WORDS)
    oldest, newest = now - timedelta(days=settings.max_age_days), now + timedelta(seconds=settings.max_future_s)
    beside = wire.select(*_TEXTS, pl.lit(oldest).alias("~oldest"), pl.lit(newest).alias("~newest"))
    return typed.with_columns(_NARROW), _first_faults(typed.hstack(beside), _faults(there, settings))


@lru_cache(maxsize=256)
def _reads(there: frozenset[str]) -> list[pl.Expr]:
    return [_read(name, kind) if name in there else pl.lit(None, kind).alias(name) for name, kind in _READ.items()]


def _read(name: str, kind: type[pl.DataType]) -> pl.Expr:
    text = pl.col(name)
    if name in native.DURATIONS:
        return text.cast(pl.Float64, strict=False).round(0).cast(kind, strict=False)
    if name not in native.FLAGS:
        return text.cast(kind, strict=False)
    flag = pl.when(text == "true").then(statement=True).when(text == "false").then(statement=False)
    if name == "logprobs":  # of the completions API it is a count; 0 still returns those of the sampled tokens
        flag = flag.when(text.str.contains(_NUMBERED_FLAG)).then(statement=True)
    return flag.alias(name)


@lru_cache(maxsize=256)
def _faults(there: frozenset[str], settings: EventSettings) -> list[_Fault]:
    """In order of importance: the first fault of a row is the one that is told."""
    return list(_possible(there, settings))


def _possible(there: frozenset[str], settings: EventSettings) -> Iterator[_Fault]:
    yield from _required()
    for name in native.IDS:
        if name in there:
            yield from _ids(name)
    yield from _times(settings)
    limits = {**_LIMITS, **dict.fromkeys(_TOKENS, (0, settings.max_tokens))}
    for name in (*native.WHOLE, *native.DURATIONS):
        if name in there:
            yield from _numbers(name, whole=name in native.WHOLE)
    for name, (least, most) in limits.items():
        if name in there:
            yield _range(name, least, most)
    for name in native.FRACTIONS:
        if name in there:
            yield from _numbers(name, whole=False)
    for name in native.FLAGS:
        if name in there:
            yield _lost(name, pl.col(name), "true or false")


def _required() -> Iterator[_Fault]:
    for name in native.REQUIRED:
        column = pl.col(f"~{name}" if name == "timestamp" else name)
        missing = column.is_null() | (column == "")
        asks = (column.null_count() > 0) | (column.str.len_bytes().min() == 0)
        if name == "account_id":
            # In a gateway's own format nobody forgot a field: the gateway was not told who calls.
            source = pl.col("source_format")
            detail = "no span around it, no baggage and no resource names an account: see otel.account_attributes"
            yield _Fault(asks, missing & (source == "otel"), "no_account", detail)
            yield _Fault(asks, missing & (source != "native"), "no_account", "nothing in it names an account")
        yield _Fault(asks, missing, "missing_field", f"{name} is missing, null or empty")


def _ids(name: str) -> Iterator[_Fault]:
    # Objects and lists arrive as their JSON. NUL stands for a lone surrogate too: two such ids would be taken for one.
    text = pl.col(name).str
    shaped = text.starts_with("{") | text.starts_with("[")
    yield _Fault(shaped.any(), shaped, "wrong_type", f"{name} is to be text")
    nul = text.contains("\0", literal=True)
    yield _Fault(nul.any(), nul, "wrong_type", f"{name} holds NUL or half a surrogate pair")
    long = text.len_bytes()
    detail = f"{name} is longer than {_LONGEST_ID} bytes"
    yield _Fault(long.max() > _LONGEST_ID, long > _LONGEST_ID, "out_of_range", detail)


def _times(settings: EventSettings) -> Iterator[_Fault]:
    stamp, oldest, newest = (pl.col(name) for name in ("timestamp", "~oldest", "~newest"))
    lost = _lost("timestamp", stamp, "")
    detail = "timestamp is neither RFC 3339 with an offset nor an epoch number"
    yield _Fault(lost.asks, lost.mask, "timestamp_unreadable", detail)
    detail = f"timestamp is more than {settings.max_age_days} days ago"
    yield _Fault(stamp.min() < oldest.first(), stamp < oldest, "timestamp_too_old", detail)
    detail = f"timestamp is more than {settings.max_future_s:g} s ahead"
    yield _Fault(stamp.max() > newest.first(), stamp > newest, "timestamp_in_future", detail)


def _numbers(name: str, *, whole: bool) -> Iterator[_Fault]:
    # What was asked is whether anything was lost; as a real number only what was is read again.
    asks = _lost(name, pl.col(name), "").asks
    real = pl.col(f"~{name}").cast(pl.Float64, strict=False)
    if whole:
        huge = pl.col(name).is_null() & real.is_finite() & (real == real.round(0)) & (real.abs() > _BEYOND_64_BITS)
        yield _Fault(asks, huge, "out_of_range", f"{name} has more than 64 bits")
        yield _lost(name, pl.col(name), "a whole number")
        return
    yield _Fault(asks, _lost(name, real, "").mask, "wrong_type", f"{name} is to be a number")
    asks = asks | ~pl.col(name).is_finite().all()
    yield _Fault(asks, ~real.is_finite(), "wrong_type", f"{name} is not finite")


def _lost(name: str, read: pl.Expr, wanted: str) -> _Fault:
    text = pl.col(f"~{name}")
    asks = read.null_count() > text.null_count()
    return _Fault(asks, read.is_null() & text.is_not_null(), "wrong_type", f"{name} is to be {wanted}")


def _range(name: str, least: int, most: int) -> _Fault:
    column, detail = pl.col(name), f"{name} is to be from {least} to {most}"
    asks = (column.min() < least) | (column.max() > most)
    if name in native.DURATIONS:  # a number may be beyond 64 bits, and then was not read
        asks = asks | _lost(name, column, "").asks
        column = pl.col(f"~{name}").cast(pl.Float64, strict=False).round(0)
    return _Fault(asks, (column < least) | (column > most), "out_of_range", detail)


def _first_faults(rows: pl.DataFrame, faults: Sequence[_Fault]) -> pl.DataFrame:
    asked = rows.select(fault.asks.alias(str(place)) for place, fault in enumerate(faults)).row(0)
    found = [fault for fault, may_be in zip(faults, asked, strict=True) if may_be]
    if not found:
        return NOBODY
    first = pl.coalesce(pl.when(fault.mask).then(pl.lit(place, pl.UInt32)) for place, fault in enumerate(found))
    at = rows.select(first.alias("fault")).with_row_index("at").drop_nulls()
    told = pl.DataFrame({"reason": [fault.reason for fault in found], "detail": [fault.detail for fault in found]})
    return at.select("at").hstack(told[at["fault"]]).cast(REFUSED)
