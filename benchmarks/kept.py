"""Looks with and without what is kept of hours that are over: `python -m benchmarks.kept [--store FILE]`.

One look of each rule at the window that fills, as `serve` makes them beside the writer: plainly, and with what the
looks before it left (``detect.kept``), in turns over the same store. What a rule finds has to be the same both ways.
Then what all of them cost once, and in an average minute, by how often each looks; and what it costs to keep what is
kept, once an hour of event time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import polars as pl

from benchmarks.look import make
from pipeline import logs
from pipeline.clock import SystemClock
from pipeline.config import LogSettings, Settings, StoreSettings
from pipeline.detect.kept import Kept
from pipeline.detect.schedule import floor_to
from pipeline.rules import load_rules
from pipeline.rules.model import Rule, Window
from pipeline.rules.run import evaluate
from pipeline.simulate import DEFAULT_START, plan
from pipeline.store import Store

MINUTE: Final = timedelta(minutes=1)


def main() -> None:
    """Print what each look costs both ways, and whether it finds the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--shape", default="fixed_prompt")
    parser.add_argument("--store", type=Path, help="one that is there, folded; it is not changed")
    parser.add_argument("--memory-mb", type=int, default=StoreSettings().memory_limit_mb, help="store.memory_limit_mb")
    parser.add_argument("--rules", nargs="*", help="these only")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    logs.configure(LogSettings(level="error"), service="bench")
    with tempfile.TemporaryDirectory() as place:
        path = asked.store
        if path is None:
            path = Path(place) / "bench.duckdb"
            simulation = plan(asked.shape, seed=1, start=DEFAULT_START)
            last = simulation.events["timestamp"].max()
            assert isinstance(last, datetime)
            make(path, simulation, last, asked.accounts)
        with Store.open(path, StoreSettings(memory_limit_mb=asked.memory_mb), clock=SystemClock()) as store:
            wanted = [rule for rule in load_rules(Settings().rules) if not asked.rules or rule.rule_id in asked.rules]
            compare(store, wanted, asked.repeats)


def compare(store: Store, rules: list[Rule], repeats: int) -> None:
    """Each rule in turns, then their sums."""
    with store.reading() as connection:
        active, until = connection.execute("select count(*), max(last_seen) from account_seen").fetchall()[0]
    until = floor_to(until, MINUTE)
    print(f"{active:,} active accounts, {store.size_bytes() / 1e6:,.0f} MB, looked at as of {until:%H:%M}")
    kept = Kept(store)
    whole, minute, made_s = [0.0, 0.0], [0.0, 0.0], 0.0
    for rule in rules:
        window = filling(rule, until)
        connection = kept.connection()
        for _ in range(2):  # the first look finds out that nothing changed, the second keeps
            cpu_s, _ = _spent(lambda: kept.prepare(rule, window))  # noqa: B023 - called at once
            made_s += cpu_s
        plain_s, kept_s, same = list[float](), list[float](), True
        for _ in range(repeats):
            spent_s, plainly = _spent(lambda: _look(store.reader(), rule, window, None))  # noqa: B023
            plain_s.append(spent_s)
            spent_s, found = _spent(lambda: _look(connection, rule, window, kept))  # noqa: B023
            kept_s.append(spent_s)
            same &= alike(plainly, found)
        share = MINUTE / rule.meta.every
        for way, spent in enumerate((min(plain_s), min(kept_s))):
            whole[way] += spent
            minute[way] += spent * share
        print(
            f"{rule.rule_id:24} every {rule.meta.every}: {min(plain_s):6.2f} CPU-s, with what is kept "
            f"{min(kept_s):6.2f}; {found.height:,} signals, {'the same' if same else 'NOT THE SAME'}",
            flush=True,
        )
    # What is in memory of it, and what had to make room.
    of_tables = "select sum(memory_usage_bytes + temporary_storage_bytes) from duckdb_memory()"
    [(kept_bytes,)] = kept.connection().execute(f"{of_tables} where tag = 'IN_MEMORY_TABLE'").fetchall()
    kept.close()
    print(f"all of them once: {whole[0]:.2f} CPU-s, {whole[1]:.2f} with what is kept")
    print(f"in an average minute: {minute[0]:.2f} CPU-s, {minute[1]:.2f} with what is kept")
    print(f"to keep it, once an hour of event time: {made_s:.2f} CPU-s; it is {kept_bytes / 1e6:,.0f} MB")


def filling(rule: Rule, until: datetime) -> Window:
    """The rule's window that fills at ``until``."""
    end = floor_to(until - timedelta(microseconds=1), rule.meta.hop) + rule.meta.hop
    return Window(end - rule.meta.window, until, end)


def alike(plainly: pl.DataFrame, found: pl.DataFrame) -> bool:
    """The same rows; a strength is a sum of floats, in whatever order threads bring them."""
    if not plainly.drop("strength").equals(found.drop("strength")):
        return False
    return bool(((plainly["strength"] - found["strength"]).abs() < 1e-9).all())


def _look(cursor: duckdb.DuckDBPyConnection, rule: Rule, window: Window, kept: Kept | None) -> pl.DataFrame:
    block = None if kept is None else kept.prepare(rule, window)
    cursor.execute("begin transaction read only")
    try:
        if kept is not None:
            kept.use(rule, block)
        return evaluate(cursor, rule, window.since, window.until)
    finally:
        cursor.execute("rollback")
        if kept is None:
            cursor.close()


_T = TypeVar("_T")


def _spent(do: Callable[[], _T]) -> tuple[float, _T]:
    cpu = time.process_time()
    result = do()
    return time.process_time() - cpu, result


if __name__ == "__main__":
    main()
