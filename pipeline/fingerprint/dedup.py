"""Duplicates: an event is one when an earlier event of its partition has its id, within a window of event time.

"Earlier" is by offset and row, counted or not; so the answer does not depend on how events were batched. Ids are kept
as sorted arrays (a few a generation, merged like an LSM tree), 24 bytes each: hash, first and last time in the
generation. Generations are window-sized stretches of event time, so only three can hold a match: all of one's own,
and of its two neighbours those whose last (first) time is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.fingerprint.grouping import Hashes, Ints
from pipeline.fingerprint.hashing import event_keys

_MAX_RUNS = 6

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Run:
    """Distinct hashes, ascending, each with its first and last event time in µs."""

    hashes: Hashes
    first: Ints
    last: Ints

    @classmethod
    def of(cls, hashes: Hashes, first: Ints, last: Ints) -> _Run:
        order = np.argsort(hashes, kind="stable")
        hashes, first, last = hashes[order], first[order], last[order]
        starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
        if len(starts) == len(hashes):
            return cls(hashes, first, last)
        return cls(hashes[starts], np.minimum.reduceat(first, starts), np.maximum.reduceat(last, starts))

    def find(self, wanted: Hashes) -> tuple[Ints, Flags]:
        """Where each wanted hash would be, and whether it is there."""
        at = np.searchsorted(self.hashes, wanted)
        at[at == len(self.hashes)] = 0
        return at, self.hashes[at] == wanted


@dataclass(slots=True)
class Deduplicator:
    """Remembers the ids of one partition. Not thread-safe.

    When more than ``max_ids`` are held, the oldest event times are forgotten; ``forgotten`` counts how many ids that
    were, and from then on an id that old passes as new.
    """

    window: timedelta
    max_ids: int
    forgotten: int = 0
    _generations: dict[int, list[_Run]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(run.hashes) for runs in self._generations.values() for run in runs)

    def copy(self) -> Deduplicator:
        """Another that remembers the same; ids are shared, since what holds them is never changed."""
        return replace(self, _generations={own: list(runs) for own, runs in self._generations.items()})

    def duplicates(self, events: pl.DataFrame) -> Flags:
        """Which events are duplicates; all are remembered, so each event is to be asked for once and in order."""
        if events.is_empty():
            return np.zeros(0, dtype=np.bool_)
        hashes, times = event_keys(events), events["timestamp"].to_physical().to_numpy()
        found = self._seen(hashes, times) | _repeats(hashes, times, self._window_us)
        self._remember(hashes, times)
        return found

    def warm(self, events: pl.DataFrame) -> None:
        """Remember events that were counted before a restart; the order of calls does not matter."""
        if not events.is_empty():
            self._remember(event_keys(events), events["timestamp"].to_physical().to_numpy())

    @property
    def _window_us(self) -> int:
        return max(round(self.window.total_seconds() * 1_000_000), 1)

    def _seen(self, hashes: Hashes, times: Ints) -> Flags:
        window_us = self._window_us
        generation = times // window_us
        found = np.zeros(len(hashes), dtype=np.bool_)
        for own in np.unique(generation).tolist():
            rows = np.flatnonzero(generation == own)
            order = rows[np.argsort(hashes[rows])]  # sorted needles keep the binary search in cache
            wanted, when = hashes[order], times[order]
            hit = np.zeros(len(order), dtype=np.bool_)
            for near in (own - 1, own, own + 1):
                for run in self._generations.get(near, ()):
                    at, there = run.find(wanted)
                    hit |= there & (run.last[at] >= when - window_us) & (run.first[at] <= when + window_us)
            found[order] = hit
        return found

    def _remember(self, hashes: Hashes, times: Ints) -> None:
        generation = times // self._window_us
        for own in np.unique(generation).tolist():
            rows = generation == own
            runs = self._generations.setdefault(own, [])
            runs.append(_Run.of(hashes[rows], times[rows], times[rows]))
            # As in an LSM tree: a run is merged into its elder while that is less than twice as long.
            while len(runs) > 1 and (len(runs) > _MAX_RUNS or len(runs[-2].hashes) < 2 * len(runs[-1].hashes)):
                runs[-2:] = [_merge(runs[-2:])]
        self._bound()

    def _bound(self) -> None:
        excess = len(self) - self.max_ids
        while excess > 0:
            oldest = min(self._generations)
            run = _merge(self._generations[oldest])
            if len(run.hashes) <= excess:
                del self._generations[oldest]
                gone = len(run.hashes)
            else:
                # A tenth more than is needed, so that a full memory is not sorted anew for every batch.
                gone = min(len(run.hashes), excess + self.max_ids // 10)
                kept = np.sort(np.argsort(run.last, kind="stable")[gone:])
                self._generations[oldest] = [_Run(run.hashes[kept], run.first[kept], run.last[kept])]
                if not len(kept):
                    del self._generations[oldest]
            self.forgotten += gone
            excess = len(self) - self.max_ids


def _merge(runs: list[_Run]) -> _Run:
    if len(runs) == 1:
        return runs[0]
    return _Run.of(
        np.concatenate([run.hashes for run in runs]),
        np.concatenate([run.first for run in runs]),
        np.concatenate([run.last for run in runs]),
    )


def _repeats(hashes: Hashes, times: Ints, window_us: int) -> Flags:
    """Which events have an earlier one within the same batch."""
    found = np.zeros(len(hashes), dtype=np.bool_)
    ordered = np.sort(hashes)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(again):
        return found
    # Only rows whose id occurs twice in the batch come here, a retry storm at worst.
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    rows = np.flatnonzero(np.isin(hashes, again))
    for row, key, when in zip(rows.tolist(), hashes[rows].tolist(), times[rows].tolist(), strict=True):
        own = when // window_us
        near = [spans[key, at] for at in (own - 1, own, own + 1) if (key, at) in spans]
        found[row] = any(low <= when + window_us and high >= when - window_us for low, high in near)
        low, high = spans.get((key, own), (when, when))
        spans[key, own] = (min(low, when), max(high, when))
    return found
