"""Checks: native fields as text → typed columns, and for each refused request the first reason, with the field named.

A wrong type in an optional field refuses the request too: evidence is never guessed. A detail names the field and the
rule, never the value: it might be text of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipeline.config import EventSettings
from pipeline.events import native
from pipeline.events.schema import EVENTS, Reason
from pipeline.events.timestamps import read_timestamps

REFUSED: Final = pl.Schema({"at": pl.UInt32, "reason": pl.String, "detail": pl.String})

_REQUIRED: Final = ("event_id", "account_id", "model")
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
_NUMBERED_FLAG: Final = r"^\d+$"


@dataclass(frozen=True, slots=True)
class _Fault:
    """Where (a mask over the frame), why, and what to tell."""

    mask: pl.Series
    reason: Reason
    detail: str


def check(wire: pl.DataFrame, settings: EventSettings, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed columns for every row of ``wire`` (null where refused), and the refused rows (REFUSED), once each."""
    typed: dict[str, pl.Series] = {}
    faults: list[_Fault] = []
    # In order of importance: the first fault of a row is the one that is told.
    faults += _required(wire)
    for name in native.IDS:
        typed[name] = wire[name]
        faults += _ids(wire[name])
    typed["timestamp"] = read_timestamps(wire["timestamp"])
    faults += _times(wire["timestamp"], typed["timestamp"], settings, now)
    for name in native.WHOLE:
        typed[name] = wire[name].cast(pl.Int64, strict=False)
        faults += _numbers(wire[name], typed[name], whole=True)
    for name in native.DURATIONS:
        number = wire[name].cast(pl.Float64, strict=False)
        faults += _numbers(wire[name], number, whole=False)
        typed[name] = number.round(0).cast(pl.Int64, strict=False)
    limits = {**_LIMITS, **dict.fromkeys(_TOKENS, (0, settings.max_tokens))}
    for name, (least, most) in limits.items():
        faults += _range(typed[name], least, most)
    for name in native.FRACTIONS:
        typed[name] = wire[name].cast(pl.Float64, strict=False)
        faults += _numbers(wire[name], typed[name], whole=False)
    for name in native.FLAGS:
        typed[name] = _flag(wire[name], numbered=name == "logprobs")
        faults += _lost(wire[name], typed[name], "true or false")
    for name in native.WORDS:
        typed[name] = wire[name]
    frame = pl.DataFrame(typed)
    cast = [pl.col(name).cast(EVENTS[name], strict=False) for name in frame.columns if name in EVENTS]
    return frame.with_columns(cast), _first_faults(faults)


def _required(wire: pl.DataFrame) -> Iterator[_Fault]:
    for name in (*_REQUIRED, "timestamp"):
        column = wire[name]
        missing = column.is_null() | (column == "").fill_null(value=False)
        if not missing.any():
            continue
        if name == "account_id":
            # In a gateway's own format nobody forgot a field: the gateway was not told who calls.
            foreign = missing & (wire["source_format"] != "native")
            spans = foreign & (wire["source_format"] == "otel")
            detail = "no span around it, no baggage and no resource names an account: see otel.account_attributes"
            yield _Fault(spans, "no_account", detail)
            yield _Fault(foreign, "no_account", "nothing in it names an account")
        yield _Fault(missing, "missing_field", f"{name} is missing, null or empty")


def _ids(column: pl.Series) -> Iterator[_Fault]:
    # Objects and lists arrive as their JSON. NUL stands for a lone surrogate too: two such ids would be taken for one.
    shaped = column.str.starts_with("{") | column.str.starts_with("[")
    if shaped.any():
        yield _Fault(shaped.fill_null(value=False), "wrong_type", f"{column.name} is to be text")
    nul = column.str.contains("\0", literal=True)
    if nul.any():
        yield _Fault(nul.fill_null(value=False), "wrong_type", f"{column.name} holds NUL or half a surrogate pair")
    if (column.str.len_bytes().max() or 0) > _LONGEST_ID:  # type: ignore[operator]
        long = (column.str.len_bytes() > _LONGEST_ID).fill_null(value=False)
        yield _Fault(long, "out_of_range", f"{column.name} is longer than {_LONGEST_ID} bytes")


def _times(text: pl.Series, stamp: pl.Series, settings: EventSettings, now: datetime) -> Iterator[_Fault]:
    if stamp.null_count() > text.null_count():
        lost = stamp.is_null() & text.is_not_null()
        yield _Fault(lost, "timestamp_unreadable", "timestamp is neither RFC 3339 with an offset nor an epoch number")
    oldest, newest = now - timedelta(days=settings.max_age_days), now + timedelta(seconds=settings.max_future_s)
    old = (stamp < oldest).fill_null(value=False)
    if old.any():
        yield _Fault(old, "timestamp_too_old", f"timestamp is more than {settings.max_age_days} days ago")
    ahead = (stamp > newest).fill_null(value=False)
    if ahead.any():
        yield _Fault(ahead, "timestamp_in_future", f"timestamp is more than {settings.max_future_s:g} s ahead")


def _numbers(text: pl.Series, number: pl.Series, *, whole: bool) -> Iterator[_Fault]:
    if whole and number.null_count() > text.null_count():
        real = text.cast(pl.Float64, strict=False)
        huge = number.is_null() & real.is_finite() & (real == real.round(0)) & (real.abs() > 9e18)
        huge = huge.fill_null(value=False)
        if huge.any():
            yield _Fault(huge, "out_of_range", f"{text.name} has more than 64 bits")
    yield from _lost(text, number, "a whole number" if whole else "a number")
    if not whole and number.is_finite().all() is False:
        mask = (~number.is_finite()).fill_null(value=False)
        yield _Fault(mask, "wrong_type", f"{text.name} is not finite")


def _lost(text: pl.Series, read: pl.Series, wanted: str) -> Iterator[_Fault]:
    if read.null_count() > text.null_count():
        yield _Fault(read.is_null() & text.is_not_null(), "wrong_type", f"{text.name} is to be {wanted}")


def _range(column: pl.Series, least: int, most: int) -> Iterator[_Fault]:
    if column.null_count() == len(column):
        return
    low, high = column.min(), column.max()
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low < least or high > most:
        outside = ((column < least) | (column > most)).fill_null(value=False)
        yield _Fault(outside, "out_of_range", f"{column.name} is to be from {least} to {most}")


def _flag(text: pl.Series, *, numbered: bool) -> pl.Series:
    column = pl.col(text.name)
    flag = pl.when(column == "true").then(statement=True).when(column == "false").then(statement=False)
    if numbered:  # logprobs of the completions API is a count; 0 still returns those of the sampled tokens
        flag = flag.when(column.str.contains(_NUMBERED_FLAG)).then(statement=True)
    return text.to_frame().select(flag.alias(text.name)).to_series()


def _first_faults(faults: list[_Fault]) -> pl.DataFrame:
    found = [
        pl.DataFrame({"at": fault.mask.arg_true()}).with_columns(
            pl.lit(fault.reason).alias("reason"), pl.lit(fault.detail).alias("detail")
        )
        for fault in faults
    ]
    if not found:
        return REFUSED.to_frame()
    return pl.concat(found).cast(REFUSED).unique("at", keep="first", maintain_order=True).sort("at")
