"""How sure a figure is: intervals of proportions and of means over seeds, at 95 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

_Z: Final = 1.959964
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its interval, both ends included."""

    value: float
    low: float
    high: float


def proportion(hits: int, of: int) -> Figure:
    """A share of independent cases with Wilson's score interval (Wilson 1927), which holds near 0 and 1 too."""
    if of == 0:
        return Figure(0.0, 0.0, 1.0)
    share, square = hits / of, _Z * _Z
    centre = (share + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return Figure(share, 0.0 if hits == 0 else centre - half, 1.0 if hits == of else centre + half)


def mean(values: Sequence[float]) -> Figure:
    """The mean over seeds with a bootstrap percentile interval (Efron 1979), its draws from a fixed seed.

    With fewer than three values the interval is their range.
    """
    if not values:
        return Figure(0.0, 0.0, 1.0)
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 3:
        return Figure(float(data.mean()), float(data.min()), float(data.max()))
    draws = np.random.default_rng(0).integers(0, len(data), (_RESAMPLES, len(data)))
    low, high = np.quantile(data[draws].mean(axis=1), (0.025, 0.975))
    return Figure(float(data.mean()), float(low), float(high))
