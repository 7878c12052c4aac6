"""What sums of prompts' features tell: what chance does, how far sources are from each other, and what it costs.

    python -m benchmarks.distribution [--prompts DIR]

Sources are the kinds of prompts that the simulator knows: of its own grammar, or of the public files in a directory
(see docs/simulate.md), where each is what people wrote. Two halves of so many prompts of one source are compared with
prompts of two sources: how often is a pair of two sources farther apart than 99 of 100 pairs of one are?
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.distribution import PHASES, phases
from pipeline.events.fragments import fragments
from pipeline.events.template import normalised
from pipeline.events.words import in_words
from pipeline.fingerprint.distributions import SCALE, features
from pipeline.simulate.texts import built_in_texts, load_texts

_SIZES: Final = (10, 25, 50, 100)
_PAIRS: Final = 300
_Points = npt.NDArray[np.float64]


def _points(texts: list[str]) -> _Points:
    said = normalised(pl.Series(list(dict.fromkeys(texts))))
    found = phases(len(said), in_words(said)).drop_nulls().to_numpy()
    made: _Points = features(found) / (SCALE * PHASES**0.5)
    return made


def _distances(rng: np.random.Generator, first: _Points, second: _Points | None, size: int) -> tuple[_Points, _Points]:
    """Distances of drawn pairs, and the errors that ``distribution_error`` would tell; None: both of one source."""
    found, errors = [], []
    for _ in range(_PAIRS):
        one = first[rng.permutation(len(first))[: size if second is not None else 2 * size]]
        a, b = (one[:size], one[size:]) if second is None else (one, second[rng.permutation(len(second))[:size]])
        total_a, total_b = a.sum(0), b.sum(0)
        alike = [(float(t @ t) - size) / (size * (size - 1)) for t in (total_a, total_b)]
        found.append(sum(alike) - 2 * float(total_a @ total_b) / size**2)
        errors.append((2 / 16) ** 0.5 * (2 - sum(alike)) / size)
    return np.array(found), np.array(errors)


def _cost(texts: pl.Series) -> dict[str, float]:
    """CPU-seconds per million prompts: words, which both need; fragments and phases beside them; sums of features."""
    words, none = in_words(texts), pl.Series([None] * len(texts), dtype=pl.String)
    kept = phases(len(texts), words).to_numpy()
    work: dict[str, Callable[[], object]] = {
        "words": lambda: in_words(texts),
        "fragments": lambda: fragments(none, texts, words),
        "phases": lambda: phases(len(texts), words),
        "sums": lambda: features(kept).sum(axis=0),
    }
    spent = {}
    for name, make in work.items():
        rounds = []
        for _ in range(5):
            begun = time.process_time()
            make()
            rounds.append(time.process_time() - begun)
        spent[name] = round(min(rounds) / len(texts) * 1e6, 1)
    return spent


def main() -> None:
    """Print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, help="a directory of public prompt files; else the built-in grammar")
    directory = parser.parse_args().prompts
    pools = (built_in_texts(1) if directory is None else load_texts(directory, 1)).pools
    # Of files only what they fill: the rest is the grammar's again.
    grammar = built_in_texts(1).pools if directory else {}
    own = [kind for kind, texts in pools.items() if texts != grammar.get(kind)]
    sources = {kind: made for kind in own if len(made := _points(list(pools[kind])[:1500])) >= 2 * max(_SIZES[:-1])}
    rng = np.random.default_rng(1)
    heads = ("prompts", "sources", "chance", "told", "apart, least", "median", "found, least", "mean")
    print("".join(f"{head:>{max(9, len(head) + 2)}}" for head in heads))
    rows = []
    for size in _SIZES:
        enough = {kind: made for kind, made in sources.items() if len(made) >= 2 * size}
        same = {kind: _distances(rng, made, None, size) for kind, made in enough.items()}
        bar = max(float(np.quantile(found, 0.99)) for found, _ in same.values())
        pairs = [
            _distances(rng, enough[one], enough[other], size)[0] for one, other in itertools.combinations(enough, 2)
        ]
        apart = [float(found.mean()) for found in pairs]
        found = [float((distances > bar).mean()) for distances in pairs]
        row = {
            "prompts": size,
            "sources": len(enough),
            "chance": float(np.mean([np.std(one) for one, _ in same.values()])),
            "told": float(np.mean([error.mean() for _, error in same.values()])),
            "apart_least": min(apart),
            "apart_median": float(np.median(apart)),
            "found_least": min(found),
            "found_mean": float(np.mean(found)),
        }
        rows.append(row)
        print(
            f"{size:>9}{len(enough):>9}{row['chance']:>9.4f}{row['told']:>9.4f}{row['apart_least']:>14.4f}"
            f"{row['apart_median']:>9.4f}{row['found_least']:>14.2f}{row['found_mean']:>9.2f}"
        )
    vocabulary = [f"word{number}" for number in range(3000)]
    draws = np.random.default_rng(2).zipf(1.3, (5000, 150)) % len(vocabulary)
    long = normalised(pl.Series([" ".join(vocabulary[number] for number in draw) for draw in draws.tolist()]))
    cost = _cost(long)
    print(f"CPU-s per million prompts of {sum(long.str.len_bytes()) // len(long)} bytes: {cost}")
    print(f"distribution: {json.dumps({'rows': rows, 'cost': cost})}")


if __name__ == "__main__":
    main()
