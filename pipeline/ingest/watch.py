"""How long a member of the group has been without work that it ought to have."""

from __future__ import annotations

from pipeline.clock import Clock


class Watch:
    """Counts from when it was made, or work was last seen. Not thread-safe.

    Args:
        limit_s: so long a member may be without work.
        clock: its monotonic time is looked at.
    """

    def __init__(self, limit_s: float, clock: Clock) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._since_s = clock.monotonic()

    def overdue(self, *, working: bool) -> bool:
        """Whether the limit has passed without work. Says so once, then counts from now."""
        now_s = self._clock.monotonic()
        if not working and now_s - self._since_s < self._limit_s:
            return False
        self._since_s = now_s
        return not working
