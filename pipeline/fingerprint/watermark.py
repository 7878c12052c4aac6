"""The watermark of one partition: the newest event time seen, less the lateness; it never goes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipeline.fingerprint.schema import PANE_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PANE_US = PANE_S * 1_000_000
_NONE_US = -(2**62)


@dataclass(slots=True)
class Watermark:
    """Where event time has got to in one partition."""

    lateness_s: float
    _newest_us: int = _NONE_US

    @property
    def value(self) -> datetime | None:
        """The watermark; None before the first event."""
        if self._newest_us == _NONE_US:
            return None
        return _EPOCH + timedelta(microseconds=self._newest_us - self._lateness_us)

    def advance(self, timestamps: pl.Series) -> int:
        """Move on over events in their order; return how many were late.

        An event is late when the watermark that the events before it had made was at or past the end of its pane. So
        the answer does not depend on batching.
        """
        times = timestamps.to_physical().to_numpy()
        if not len(times):
            return 0
        newest_before = np.maximum.accumulate(np.concatenate(([self._newest_us], times)))
        self._newest_us = int(newest_before[-1])
        pane_end = times - times % _PANE_US + _PANE_US
        return int(np.count_nonzero(pane_end <= newest_before[:-1] - self._lateness_us))

    @property
    def _lateness_us(self) -> int:
        return round(self.lateness_s * 1_000_000)
