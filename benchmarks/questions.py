"""Saved questions as they are here and as they are in another checkout: `python -m benchmarks.questions --store FILE`.

Over one store, which is not changed (`python -m benchmarks.days --make-only --directory D` makes one of many days), in
turns: each question with its own defaults, with the macros of its own checkout (`--beside`). Then whether both answer
the same, at the defaults and where the question is put otherwise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

from pipeline.cli.saved import SavedQuery, saved_queries

HERE: Final = Path(__file__).resolve().parents[1]
MAX_ROWS: Final = 10_000
# Other values of what a question asks about, for whether the answers are the same.
OTHERWISE: Final[dict[str, list[dict[str, object]]]] = {
    "account_neighbours": [{"hours": 1}, {"hours": 25, "most_holders": 20}, {"hours": 47}, {"most_holders": 100_000}],
    "prompts_distributed_alike": [{"hours": 1, "prompts": 2, "apart": 0}, {"apart": -5, "alike": 4, "accounts": 100}],
    "known_sets_covered": [{"share": 0}, {"hours": 3}],
}


def main() -> None:
    """Print what each question takes on either side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--beside", type=Path, help="another checkout")
    parser.add_argument("--names", nargs="*", help="these questions only")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-mb", type=int, default=2048)
    asked = parser.parse_args()
    places = [place for place in (asked.beside, HERE) if place is not None]
    with duckdb.connect(
        str(asked.store),
        read_only=True,
        config={"threads": 2, "memory_limit": f"{asked.memory_mb}MiB", "preserve_insertion_order": "false"},
    ) as connection:
        sides = [_side(connection, place) for place in places]
        rows = sum(
            connection.execute(f"select count(*) from {table}").fetchall()[0][0]
            for table in ("pane", "hour", "day", "link_hour", "link_day", "distribution_hour", "loop_hour")
        )
        print(f"{rows:,} rows; wall seconds p50 and p95, least CPU-seconds, of {asked.repeats}")
        for name in sorted(set.intersection(*(set(known) for _, known in sides))):
            if not asked.names or name in asked.names:
                compare(name, [(cursor, known[name]) for cursor, known in sides], asked.repeats)


def compare(name: str, sides: list[tuple[duckdb.DuckDBPyConnection, SavedQuery]], repeats: int) -> None:
    """One question on every side, in turns."""
    took = [[_spent(cursor, query, {})[:2] for cursor, query in sides] for _ in range(repeats)]
    told = []
    for wall_s, cpu_s in np.array(took).transpose(1, 2, 0):
        p50_s, p95_s = np.quantile(wall_s, [0.5, 0.95])
        told.append(f"{p50_s:.2f} s, {p95_s:.2f} s, {min(cpu_s):.2f} CPU-s")
    same = [
        _spent(*sides[0], params)[2] == _spent(*side, params)[2]
        for params in ({}, *OTHERWISE.get(name, ()))
        for side in sides[1:]
    ]
    answers = "" if not same else f"; the same answer {sum(same)} of {len(same)} times"
    print(f"{name:28} {' → '.join(told)}{answers}", flush=True)


def _side(
    connection: duckdb.DuckDBPyConnection, place: Path
) -> tuple[duckdb.DuckDBPyConnection, dict[str, SavedQuery]]:
    """A connection with the macros of a checkout, and the questions of that."""
    cursor = connection.cursor()
    cursor.execute("set timezone = 'UTC'")
    for path in sorted((place / "sql" / "views").glob("macro_*.sql")):
        cursor.execute(
            path.read_text(encoding="utf-8").replace("create or replace macro", "create or replace temp macro")
        )
    return cursor, {query.name: query for query in saved_queries(place / "sql" / "queries")}


def _spent(
    cursor: duckdb.DuckDBPyConnection, query: SavedQuery, params: dict[str, object]
) -> tuple[float, float, list[Any]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = cursor.execute(query.sql, {**query.defaults, **params}).fetchmany(MAX_ROWS)
    return time.perf_counter() - wall, time.process_time() - cpu, found


if __name__ == "__main__":
    main()
