"""When people, jobs and pools are at work over days: the time of day where they live, conversations, nightly runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import numpy as np

from pipeline.simulate.timing import Floats, Ints

DAY_S: Final = 86_400.0
HOUR_S: Final = 3600.0
# Hours ahead of UTC, standard time; the largest zone where a country has several.
OFFSET_H: Final[Mapping[str, float]] = {
    "US": -6, "BR": -3, "GB": 0, "ES": 1, "FR": 1, "DE": 1, "NL": 1, "IN": 5.5, "CN": 8, "KR": 9, "JP": 9,
}  # fmt: skip
# How busy people are in each hour of their day, from midnight on, as request logs show it: a low at four in the
# morning of about a tenth of the peak, a dent at noon, a second hump in the evening.
_PEOPLE: Final = (3, 2, 1.4, 1.1, 1, 1.2, 2, 4, 7, 10, 11, 11, 9, 10, 11, 11, 10, 9, 8, 8, 8, 7.5, 6.5, 5)
_OFFICE: Final = (0, 0, 0, 0, 0, 0, 0, 0.5, 4, 10, 11, 11, 6, 10, 11, 11, 10, 6, 1, 0.2, 0, 0, 0, 0)
_WEEKEND: Final = 0.45
_STEP_S: Final = 600.0


def awake(
    rng: np.random.Generator, offsets_h: Floats, *, start: datetime, duration_s: float, office: bool = False
) -> Floats:
    """A moment in [0, duration) for each value, likelier when it is day at that many hours ahead of UTC.

    The weekend is quieter; nobody works in the office on it.
    """
    grid = np.arange(0, duration_s + _STEP_S, _STEP_S)
    base_s = start.weekday() * DAY_S + start.hour * HOUR_S + start.minute * 60
    moments = np.empty(len(offsets_h))
    uniform = rng.random(len(offsets_h))
    for offset in np.unique(offsets_h):
        local = base_s + grid + offset * HOUR_S
        hour = (local / HOUR_S % 24).astype(int)
        weekend = (local // DAY_S % 7) >= 5
        curve = np.array(_OFFICE if office else _PEOPLE)[hour] + 1e-9
        weights = np.where(weekend, 1e-9 if office else curve * _WEEKEND, curve)
        total = np.concatenate(([0.0], np.cumsum(weights[:-1])))
        here = offsets_h == offset
        moments[here] = np.interp(uniform[here] * total[-1], total, grid)
    return np.minimum(moments, duration_s - 0.001)


def conversations(rng: np.random.Generator, who: Ints, *, new_share: float, gap_s: float) -> tuple[Ints, Ints, Floats]:
    """Requests of accounts (``who``, ascending) in conversations: number, turn from 0, seconds since its start.

    A request begins another conversation with probability ``new_share``; else it follows the last one after a
    log-normal think time with that median.
    """
    count = len(who)
    new = rng.random(count) < new_share
    if count:
        new[0] = True
        new[1:] |= who[1:] != who[:-1]
    number = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    gaps = np.where(new, 0.0, rng.lognormal(np.log(gap_s), 0.9, count))
    passed = np.cumsum(gaps)
    turn = np.arange(count) - first[number] if count else np.empty(0, dtype=np.int64)
    return number.astype(np.int64), turn.astype(np.int64), passed - passed[first[number]] if count else passed


def job_starts(
    rng: np.random.Generator, *, hour: float, offset_h: float, start: datetime, duration_s: float, jitter_s: float
) -> Floats:
    """Seconds from ``start`` at which something begins that runs every day at one local hour; ascending."""
    of_day = start.hour * HOUR_S + start.minute * 60
    first = ((hour - offset_h) * HOUR_S - of_day) % DAY_S
    starts = np.arange(first, duration_s, DAY_S)
    return np.asarray(np.clip(starts + rng.uniform(0, jitter_s, len(starts)), 0, None))
