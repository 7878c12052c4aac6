"""When requests come and how large they are: from real traces, or from distributions of their character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.errors import InputNotFoundError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Mean and deviation of ln(tokens), and the size at which the Azure traces end.
_INPUT: Final = {"chat": (6.64, 0.98, 14_050), "code": (7.0, 1.35, 7_437)}
_OUTPUT: Final = {"chat": (5.03, 0.85, 1_000), "code": (2.86, 0.81, 1_900)}
_TRACES: Final = {"chat": "azure_llm_2023_conv.csv", "code": "azure_llm_2023_code.csv"}


@dataclass(frozen=True, slots=True)
class Trace:
    """Gaps between requests (divided by their mean) and token counts of one service, in the order they came."""

    gaps: Floats
    input_tokens: Ints
    output_tokens: Ints


@dataclass(frozen=True, slots=True)
class Timing:
    """Draws arrivals and sizes; ``traces`` may lack a profile, which then is drawn from a distribution."""

    traces: Mapping[str, Trace]

    def arrivals(self, rng: np.random.Generator, profile: str, count: int, duration_s: float) -> Floats:
        """``count`` ascending times in [0, duration): CV of the gaps about 1.1 for ``chat``, about 13 for ``code``."""
        if count == 0:
            return np.empty(0)
        trace = self.traces.get(profile)
        if trace is not None:
            start = int(rng.integers(0, len(trace.gaps)))
            gaps = np.take(trace.gaps, np.arange(start, start + count + 1), mode="wrap")
        elif profile == "code":
            # Mostly tiny gaps and rare long silences: a log-normal with this sigma has a CV of 13.
            gaps = rng.lognormal(0.0, 2.27, count + 1)
        else:
            gaps = rng.gamma(0.83, 1.0, count + 1)
        times = np.cumsum(gaps)
        return np.asarray(times[:-1] / times[-1] * duration_s)

    def sizes(self, rng: np.random.Generator, profile: str, count: int) -> tuple[Ints, Ints]:
        """Input and output tokens of ``count`` requests; drawn together where a trace has them together."""
        trace = self.traces.get(profile)
        if trace is not None:
            at = rng.integers(0, len(trace.input_tokens), count)
            return trace.input_tokens[at], trace.output_tokens[at]
        return _lognormal(rng, _INPUT[profile], count), _lognormal(rng, _OUTPUT[profile], count)


def load_timing(directory: Path) -> Timing:
    """Profiles ``chat`` and ``code`` from the Azure traces in a directory.

    Raises:
        InputNotFoundError: neither trace is there.
    """
    traces = {}
    for profile, name in _TRACES.items():
        path = directory / name
        if path.exists():
            frame = pl.read_csv(path, try_parse_dates=True).sort("TIMESTAMP")
            gaps = frame["TIMESTAMP"].diff().drop_nulls().dt.total_microseconds().to_numpy().astype(np.float64)
            tokens = (frame["ContextTokens"].to_numpy(), frame["GeneratedTokens"].to_numpy())
            traces[profile] = Trace(gaps / gaps.mean(), tokens[0].astype(np.int64), tokens[1].astype(np.int64))
    if not traces:
        raise InputNotFoundError(
            f"No trace in {directory}", next_step=f"Put one of these there: {', '.join(_TRACES.values())}"
        )
    return Timing(traces)


def closed_loop(rng: np.random.Generator, latencies_s: Floats, workers: int) -> Floats:
    """Starts of requests that ``workers`` send, each the next as soon as its last has ended; in start order.

    ``latencies_s`` are taken in turn by the workers, so the level in flight is ``workers`` from beginning to end.
    """
    rounds = -(-len(latencies_s) // workers)
    padded = np.zeros(rounds * workers)
    padded[: len(latencies_s)] = latencies_s
    think = rng.uniform(0.02, 0.25, (rounds, workers))
    busy = padded.reshape(rounds, workers) + think
    starts = np.cumsum(busy, axis=0) - busy + rng.uniform(0, 2.0, workers)
    return np.asarray(starts.reshape(-1)[: len(latencies_s)])


def _lognormal(rng: np.random.Generator, shape: tuple[float, float, int], count: int) -> Ints:
    mean, deviation, most = shape
    return np.clip(rng.lognormal(mean, deviation, count), 2, most).astype(np.int64)
