"""Sums of prompts' random features by account and hour, and what may be read from two such sums.

A prompt's phases (``pipeline.events.distribution``) become FEATURES whole numbers: SCALE times the cosine of each, then
SCALE times the sine of each. Sums of them are exact in any order and any split; divided by SCALE and the root of PHASES
they are sums of points on a sphere, whose inner products estimate a Gaussian kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.batch import told
from pipeline.events.distribution import PHASES, TURN
from pipeline.fingerprint.grouping import Ints, code_integers, code_strings, combine, group
from pipeline.fingerprint.schema import DISTRIBUTIONS, FEATURES, HOUR_S

SCALE: Final = 127
# What an inner product of sums is divided by, in SQL as here.
UNIT: Final = SCALE * SCALE * PHASES

_ANGLES: Final = 2 * np.pi * np.arange(TURN) / TURN
# None of these lies near a half, so any library's cosine rounds to the same numbers.
_COSINES: Final = np.rint(SCALE * np.cos(_ANGLES)).astype(np.int32)
_SINES: Final = np.rint(SCALE * np.sin(_ANGLES)).astype(np.int32)


def distributions(events: pl.DataFrame) -> pl.DataFrame:
    """What ``events`` (of ``stack``, without duplicates) add: a DISTRIBUTIONS frame, in order of (account_id, hour).

    Events without phases add nothing. The same events in any order and any split, merged, give the same frame.
    """
    if told(events, "distribution") is None:
        return DISTRIBUTIONS.to_frame()
    rows = events.select("account_id", "timestamp", "distribution").drop_nulls("distribution")
    # A damaged batch may lack a byte: it counts as 0, and nothing stops.
    phases = rows["distribution"].explode().fill_null(0).to_numpy().reshape(-1, PHASES)
    hour_us = rows["timestamp"].to_physical() // (HOUR_S * 1_000_000) * (HOUR_S * 1_000_000)
    return _summed(rows["account_id"], hour_us, np.ones(len(rows), dtype=np.int64), features(phases))


def merge_distributions(*frames: pl.DataFrame) -> pl.DataFrame:
    """One row an (account_id, hour) from DISTRIBUTIONS frames."""
    rows = pl.concat([DISTRIBUTIONS.to_frame(), *frames])
    if rows.is_empty():
        return rows
    sums = rows["prompt_sum"].explode().to_numpy().reshape(-1, FEATURES)
    return _summed(rows["account_id"], rows["hour"].to_physical(), rows["events"].to_numpy(), sums)


def features(phases: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """FEATURES whole numbers a prompt, of its phases: rows as in ``phases``."""
    return np.concatenate((_COSINES[phases], _SINES[phases]), axis=1)


def squared_distance(
    first: Sequence[int], first_events: int, second: Sequence[int], second_events: int
) -> float | None:
    """Unbiased estimate of the squared distance (MMD²) between what two sets of prompts were drawn from.

    0 for sets from one source, so below 0 about half of the time; 2 for what has nothing in common. Not for a set and
    a part of it: take the part out first. As ``distribution_distance`` in SQL.

    Args:
        first, second: sums of features.
        first_events, second_events: of how many prompts; None is returned where either has fewer than two.
    """
    alike = [_within(first, first_events), _within(second, second_events)]
    if alike[0] is None or alike[1] is None:
        return None
    return alike[0] + alike[1] - 2 * _dot(first, second) / (first_events * second_events)


def spread(total: Sequence[int], events: int) -> float | None:
    """Unbiased estimate of how different two prompts of a set are: 0 for one prompt again and again, near 0.4 for
    unrelated ones (1 less the mean kernel). None for fewer than two. As ``distribution_spread`` in SQL.
    """
    alike = _within(total, events)
    return None if alike is None else 1 - alike


def _within(total: Sequence[int], events: int) -> float | None:
    """Mean kernel of two different prompts of a set."""
    return None if events < 2 else (_dot(total, total) - events) / (events * (events - 1))


def _dot(first: Sequence[int], second: Sequence[int]) -> float:
    total: int = sum(map(mul, first, second))
    return total / UNIT


def _summed(account_id: pl.Series, hour_us: pl.Series, events: Ints, sums: npt.NDArray[Any]) -> pl.DataFrame:
    """Sums by account and hour."""
    account, hour = code_strings(account_id), code_integers(hour_us)
    assert account is not None
    assert hour is not None
    keys, limit = combine((account.codes, account.size), (hour.codes, hour.size))
    groups = group(keys, key_limit=limit)
    found = pl.DataFrame(
        {
            "account_id": account.values.gather(groups.keys // hour.size),
            "hour": hour.values.gather(groups.keys % hour.size),
            "events": groups.sum(events),
            "prompt_sum": pl.Series(np.add.reduceat(sums[groups.order], groups.starts)),
        }
    )
    return found.cast(DISTRIBUTIONS).sort("account_id", "hour")
