"""A DuckDB file beside a DuckLake over SQLite and over Postgres: the same steps, questions and rules in one run.

    python -m benchmarks.lake [--steps N] [--inlined ROWS] [--record]

Each step is one transaction with a second of four partitions and their offsets, handed to the three stores in turn, so
that other load on the machine meets all of them. Postgres is started for the run and waits for the disk, as it does
where people run it. ``--record`` keeps what was found in `benchmarks/results/lake.json`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from benchmarks.results import record
from benchmarks.store import START, deltas
from pipeline.cli.saved import saved_queries
from pipeline.clock import SystemClock
from pipeline.config import Lake, Place, RuleSettings, StoreSettings
from pipeline.rules.load import load_rules
from pipeline.store import Store, apply_deltas, lake, set_offsets
from pipeline.store.fold import Folder
from pipeline.store.query import run_query, run_rule
from tests.lakes.server import PostgresServer

STEPS: Final = 60
TURNS: Final = 3  # of the questions and of the rules
EVENTS_PER_S: Final = 2_000
PARTITIONS: Final = 4
FILE: Final = "DuckDB file"


@dataclass
class Kept:
    """One store and what it took, in seconds."""

    store: Store
    size: Callable[[], int]
    spent: dict[str, list[float]] = field(default_factory=dict)

    def time(self, what: str, work: Callable[[], object]) -> None:
        """Do it, and keep how long it took."""
        begun = time.perf_counter()
        work()
        self.spent.setdefault(what, []).append(time.perf_counter() - begun)


def opened(place: Path, server: PostgresServer, stack: ExitStack) -> dict[str, Kept]:
    """The three stores, empty."""
    server.execute("create database lake")
    data = {kind: place / f"{kind}.data" for kind in ("sqlite", "postgres")}
    named: dict[str, tuple[Place, StoreSettings, Callable[[], int]]] = {
        FILE: (place / "store.duckdb", StoreSettings(), lambda: (place / "store.duckdb").stat().st_size),
        "DuckLake, SQLite": (
            Lake("sqlite", str(place / "lake.sqlite")),
            StoreSettings(data_path=data["sqlite"]),
            lambda: _size(data["sqlite"]) + (place / "lake.sqlite").stat().st_size,
        ),
        "DuckLake, Postgres": (
            Lake("postgres", server.connection("lake")),
            StoreSettings(data_path=data["postgres"]),
            lambda: _size(data["postgres"]) + int(server.execute("select pg_database_size('lake')")[0][0]),
        ),
    }
    return {
        name: Kept(stack.enter_context(Store.open(where, settings, clock=SystemClock())), size)
        for name, (where, settings, size) in named.items()
    }


def measure(events_per_s: int, steps: int) -> dict[str, dict[str, float]]:
    """What each store took, by its name: milliseconds, and megabytes."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwatch-lake-")))
        server = PostgresServer(durable=True)
        stack.callback(server.remove)
        server.start()
        stores = opened(place, server, stack)
        until = START + timedelta(minutes=2)
        batches = deltas(1 + steps // 60, accounts=5_000, events_per_s=events_per_s, partitions=PARTITIONS)
        for number, batch in zip(range(steps), batches, strict=False):
            for kept in stores.values():

                def step(store: Store = kept.store) -> None:
                    with store.transaction() as tx:
                        apply_deltas(tx, batch)  # noqa: B023 - called at once
                        set_offsets(tx, {("t", one): number for one in range(PARTITIONS)}, "epoch")  # noqa: B023

                kept.time("step", step)
        for kept in stores.values():
            folder, more = Folder(), True
            while more:

                def turn(store: Store = kept.store, folder: Folder = folder) -> None:
                    nonlocal more
                    with store.transaction() as tx:
                        more = folder.turn(tx, until).more

                kept.time("fold", turn)
            more = True
            while more:

                def piece(store: Store = kept.store) -> None:
                    nonlocal more
                    more = store.checkpoint()

                kept.time("upkeep", piece)
        for _ in range(TURNS):
            for kept in stores.values():
                kept.time("questions", lambda store=kept.store: _ask(store))  # type: ignore[misc]
                kept.time("rules", lambda store=kept.store: _look(store))  # type: ignore[misc]
        counted = {run_query(kept.store, _COUNT, timeout_s=60, max_rows=1).table.to_pylist()[0]["events"]
                   for kept in stores.values()}  # fmt: skip
        assert len(counted) == 1, f"the stores differ: {counted}"
        return {name: _figures(kept) for name, kept in stores.items()}


_COUNT: Final = "select sum(events) as events from fingerprints_1h where kind = 'account'"


def _ask(store: Store) -> None:
    """Every saved question."""
    for saved in saved_queries():
        run_query(store, saved.sql, params=saved.defaults, timeout_s=120, max_rows=10_000)


def _look(store: Store) -> None:
    """Every shipped rule over the hour."""
    window = {"since": START, "until": START + timedelta(hours=1)}
    for rule in load_rules(RuleSettings()).rules.values():
        run_rule(store, rule.sql, params={**rule.parameters, **window}, timeout_s=120, max_rows=100_000)


def _figures(kept: Kept) -> dict[str, float]:
    steps, folds, upkeep = (kept.spent[what] for what in ("step", "fold", "upkeep"))
    return {
        "step_ms": 1000 * median(steps),
        "step_p95_ms": 1000 * quantiles(steps, n=20)[-1],
        "fold_ms": 1000 * sum(folds),
        "upkeep_ms": 1000 * sum(upkeep),
        "longest_pause_ms": 1000 * max(*folds, *upkeep),
        "questions_ms": 1000 * median(kept.spent["questions"]),
        "rules_ms": 1000 * median(kept.spent["rules"]),
        "size_mb": kept.size() / 1e6,
    }


def ratios(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Each figure of the lakes as a multiple of the file's in the same run."""
    return {
        name: {what: figures[what] / found[FILE][what] for what in figures}
        for name, figures in found.items()
        if name != FILE
    }


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def main() -> None:
    """Measure; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="keep what was measured")
    parser.add_argument("--steps", type=int, default=STEPS, help="transactions applied")
    parser.add_argument("--inlined", type=int, help="rows of a statement that stay in the catalogue, of both lakes")
    asked = parser.parse_args()
    if asked.inlined is not None:
        lake.INLINED_ROWS.update(dict.fromkeys(lake.INLINED_ROWS, asked.inlined))
    found = measure(EVENTS_PER_S, asked.steps)
    times = ratios(found)
    if asked.record:
        shown = {name: {what: round(value, 2) for what, value in one.items()} for name, one in times.items()}
        measured = {name: {what: round(value, 1) for what, value in one.items()} for name, one in found.items()}
        record("lake", {"steps": asked.steps, "events_a_step": EVENTS_PER_S, "measured": measured, "ratios": shown})
    print(f"{'':20}" + "".join(f"{name:>22}" for name in found))
    for what, value in found[FILE].items():
        lakes = "".join(f"{one[what]:12.1f} ({times[name][what]:5.2f}x)" for name, one in found.items() if name != FILE)
        print(f"{what:20}{value:22.1f}{lakes}")


if __name__ == "__main__":
    main()
