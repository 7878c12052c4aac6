"""CPU-seconds per million events that the features of text cost, each and all together: `python -m benchmarks.text`.

    python -m benchmarks.text [--prompts DIR]

Events have 1 KB of text: a prompt that no other event has, or one beside a system prompt that many events have. Texts
are of the built-in grammar, or with ``--prompts`` of the public files in that directory (docs/simulate.md). CPU time of
the process, all threads, the median of some rounds. *all* is ``text_features`` as ingest calls it, JSON of messages and
all; the parts are the same calls one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.distribution import phases
from pipeline.events.features import text_features
from pipeline.events.fragments import fragments
from pipeline.events.language import guess_languages
from pipeline.events.loops import loop_in, loop_out
from pipeline.events.native import NATIVE
from pipeline.events.request_kind import request_kinds
from pipeline.events.template import normalised, skeletons, stable_hash
from pipeline.events.words import in_words
from pipeline.simulate.texts import built_in_texts, load_texts

EVENTS: Final = 20_000
ROUNDS: Final = 7
CHARS: Final = 1000  # of text an event
SYSTEM_CHARS: Final = 300
SYSTEMS: Final = 40


def texts(directory: Path | None) -> list[list[str]]:
    """Distinct prompts of each kind that the simulator knows, in a fixed random order."""
    pools = (built_in_texts(1) if directory is None else load_texts(directory, 1)).pools
    # Of files only what they fill: the rest is the grammar's again.
    grammar = {} if directory is None else built_in_texts(1).pools
    source = np.random.default_rng(1)
    own = [list(dict.fromkeys(pool)) for kind, pool in pools.items() if pool != grammar.get(kind)]
    return [[pool[place] for place in source.permutation(len(pool))] for pool in own]


def loads(pools: list[list[str]]) -> Iterator[tuple[str, pl.Series, pl.Series]]:
    """Name, prompts and system prompts of each load."""
    none = pl.Series([None] * EVENTS, dtype=pl.String)
    yield "prompts of 1 KB", _filled(pools, EVENTS, CHARS), none
    few = _filled([pool[::-1] for pool in pools], SYSTEMS, SYSTEM_CHARS)
    systems = few.gather(np.arange(EVENTS) % SYSTEMS)
    yield "a system prompt that repeats", _filled(pools, EVENTS, CHARS - SYSTEM_CHARS), systems


def _filled(pools: list[list[str]], count: int, chars: int) -> pl.Series:
    """Texts of so many characters, prompts of one kind one after the other, each with a number of its own at the end.

    Kinds come as often as they have prompts.
    """
    kinds = np.random.default_rng(2).choice(len(pools), count, p=[len(one) / sum(map(len, pools)) for one in pools])
    places = [0] * len(pools)
    made = []
    for number, kind in enumerate(kinds):
        parts: list[str] = []
        while sum(map(len, parts)) < chars:
            parts.append(pools[kind][places[kind] % len(pools[kind])])
            places[kind] += 1
        made.append("\n\n".join(parts)[: chars - 7] + f" {number:06}")
    return pl.Series(made)


def parts(prompts: pl.Series, systems: pl.Series) -> dict[str, Callable[[], object]]:
    """What the features are made of, each with what it builds upon at hand."""
    said, told, head = normalised(prompts), normalised(systems), skeletons(prompts)
    words = in_words(said)
    nothing = pl.Series([None] * len(prompts), dtype=pl.String)
    hashed = pl.DataFrame({"prompt": said, "system": told, "template": head})
    return {
        "normalised": lambda: (normalised(prompts), normalised(systems)),
        "skeletons": lambda: skeletons(prompts),
        "hashes": lambda: hashed.select(stable_hash(name) for name in hashed.columns),
        "language": lambda: guess_languages(prompts),
        "words": lambda: in_words(said),
        "fragments": lambda: fragments(told, said, words),
        "loop_in": lambda: loop_in(systems, nothing, words),
        "phases": lambda: phases(len(said), words),
        "kinds": lambda: request_kinds(prompts, systems, said, told),
    }


def wire(prompts: pl.Series, systems: pl.Series) -> pl.DataFrame:
    """The same texts as an event has them."""
    columns = {"prompt": prompts, "system": systems}
    nothing = pl.Series([None] * len(prompts), dtype=pl.String)
    return pl.DataFrame({name: columns.get(name, nothing) for name in NATIVE.names()})


def cpu_s_per_million(work: Callable[[], object], events: int) -> float:
    """The median of some rounds, after one that is not counted."""
    spent = []
    for _ in range(ROUNDS + 1):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return statistics.median(spent[1:]) / events * 1e6


def main() -> None:
    """Print a table a load, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, help="a directory of public prompt files; else the built-in grammar")
    pool = texts(parser.parse_args().prompts)
    found = {}
    for name, prompts, systems in loads(pool):
        event = wire(prompts, systems)
        costs = {part: cpu_s_per_million(work, EVENTS) for part, work in parts(prompts, systems).items()}
        total = cpu_s_per_million(partial(text_features, event), EVENTS)
        print(f"{name}: {total:.1f} CPU-s/million")
        for part, cost in costs.items():
            print(f"  {part:<12}{cost:>6.1f}{cost / total:>6.0%}")
        print(f"  {'beside them':<12}{total - sum(costs.values()):>6.1f}")
        responses = cpu_s_per_million(partial(loop_out, prompts), EVENTS)
        print(f"  of as much text in the response {responses:.1f} more")
        found[name] = {
            "all": round(total, 1),
            **{part: round(cost, 1) for part, cost in costs.items()},
            "responses": round(responses, 1),
        }
    print(f"text: {json.dumps(found)}")


if __name__ == "__main__":
    main()
