"""CPU time of processes between two shares of a piece of work: start-up and the last partition's rest are not in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from pipeline.errors import StillwatchError

FROM: Final = 0.15
TO: Final = 0.85
LIMIT_S: Final = 300.0
QUIET_S: Final = 5.0
LOOK: Final = "mend that, then measure again"
_POLL_S: Final = 0.05

Share = Callable[[], float]  # how much of the work is done, 0 to 1


class BenchError(StillwatchError):
    """Nothing could be measured."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Steady:
    """What the processes needed an event, how fast they went, and the most memory they held together."""

    events_per_s: float
    cpu_s_per_million: float
    peak_mb: float


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """CPU time that the processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or only its parent has not asked for its exit code yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def steady(what: str, processes: Sequence[psutil.Process], events: int, done: Share) -> Steady:
    """Watch until most of the work is done.

    Raises:
        BenchError: too little work to measure, or it does not get done.
    """
    first: tuple[float, float, float] | None = None
    last = (0.0, time.monotonic(), 0.0)
    deadline = time.monotonic() + LIMIT_S
    peak = 0.0
    while True:
        if any(has_ended(process) for process in processes):
            raise BenchError(f"{what} ended", next_step=LOOK)
        share, now, cpu = done(), time.monotonic(), cpu_s(processes)
        peak = max(peak, sum(process.memory_info().rss for process in processes) / 1e6)
        if share > last[0]:
            last = share, now, cpu
        if first is None and share >= FROM:
            first = last
        # The last offsets of a topic may be markers that nobody commits: of little work they are a large share.
        through = share >= TO or now - last[1] > QUIET_S
        if through and first is not None:
            if last[0] == first[0]:
                raise BenchError(f"{what}: done in one step, too little to measure", next_step="give more by --events")
            counted = (last[0] - first[0]) * events
            return Steady(counted / (last[1] - first[1]), (last[2] - first[2]) / counted * 1e6, peak)
        if now > deadline:
            raise BenchError(f"{what}: {share:.0%} done after {LIMIT_S:.0f} s", next_step="give fewer by --events")
        time.sleep(_POLL_S)


def whole(what: str, process: psutil.Process, events: int, done: Share) -> Steady:
    """Watch from now until all is done: for what takes so much at a time that there are few shares between.

    Raises:
        BenchError: it does not get done.
    """
    begun, before, peak, share = time.monotonic(), cpu_s([process]), 0.0, 0.0
    while share < 1 - 1e-9:
        if has_ended(process):
            raise BenchError(f"{what} ended", next_step=LOOK)
        if time.monotonic() - begun > LIMIT_S:
            raise BenchError(f"{what}: {share:.0%} done after {LIMIT_S:.0f} s", next_step="give fewer by --events")
        time.sleep(_POLL_S)
        share = done()
        peak = max(peak, process.memory_info().rss / 1e6)
    took_s, used_s = time.monotonic() - begun, cpu_s([process]) - before
    return Steady(events / took_s, used_s / events * 1e6, peak)


def finish(done: Share) -> None:
    """Wait until nothing more is done; the last few offsets of a topic may be markers that nobody commits."""
    share, moved_s = done(), time.monotonic()
    while time.monotonic() - moved_s < QUIET_S:
        time.sleep(0.2)
        now = done()
        if now > share:
            share, moved_s = now, time.monotonic()
