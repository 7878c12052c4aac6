"""Hours in which an endpoint is told nothing: days and times of day in its own time zone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHAPE: Final = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?(?: +([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d))?")
_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Mute:
    """Some days, whole or from ``begin`` to ``end`` in minutes; past midnight where ``end`` is not later."""

    days: frozenset[int]
    begin: int
    end: int

    @classmethod
    def read(cls, text: str) -> Self:
        """``sat-sun``, ``mon 12:00-13:00`` or ``mon-fri 18:00-08:00`` (until the next morning).

        Raises:
            ValueError: it is none of these.
        """
        found = _SHAPE.fullmatch(text.strip().lower())
        first, last, begin, end = found.groups() if found else (None, None, None, None)
        if found is None or first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{text!r}: write sat-sun, mon 12:00-13:00 or mon-fri 18:00-08:00")
        start, stop = DAYS.index(first), DAYS.index(last or first)
        days = frozenset((start + step) % 7 for step in range((stop - start) % 7 + 1))
        times = [0, _DAY] if begin is None or end is None else [_minute(begin), _minute(end)]
        if times[0] == times[1]:
            raise ValueError(f"{text!r}: it ends when it begins")
        return cls(days, times[0], times[1])

    def covers(self, local: datetime) -> bool:
        """Whether a moment, in the time zone that it is meant in, is within."""
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


def muted(mutes: Iterable[str], timezone: str, now: datetime) -> bool:
    """Whether one of them covers ``now`` (aware)."""
    local = now.astimezone(ZoneInfo(timezone))
    return any(Mute.read(text).covers(local) for text in mutes)


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    if int(hours) > 23:
        raise ValueError(f"{text}: no time of day")
    return int(hours) * 60 + int(minutes)
