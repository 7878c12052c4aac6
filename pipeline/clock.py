"""Time as an argument: wall time for what is stored, monotonic time for how long something took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What a stage may ask about time."""

    def now(self) -> datetime:
        """Wall time, UTC, aware. May step backwards or forwards."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Wall time, UTC, aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()


@dataclass(slots=True)
class ManualClock:
    """A clock that only a test moves. ``step_wall`` is an operator setting the time: monotonic time does not follow."""

    wall: datetime = field(default_factory=lambda: datetime(2026, 1, 5, 12, 0, tzinfo=UTC))
    elapsed_s: float = 0.0

    def now(self) -> datetime:
        """Wall time as last set."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self.elapsed_s

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self.wall += timedelta(seconds=seconds)
        self.elapsed_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock only, as NTP or an operator would."""
        self.wall += timedelta(seconds=seconds)
