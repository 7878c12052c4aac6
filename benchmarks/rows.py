"""What a row of panes and hours takes in the file, and would take otherwise: `python -m benchmarks.rows`.

Simulated requests with text, of many accounts, are applied and folded minute by minute, as `serve` does. Then each
table is written again into a file of its own: with its tallies in other layouts, and in other orders. Nothing is copied
to make it larger: rows that repeat each other compress as no real ones do.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from benchmarks.look import apply
from pipeline import logs
from pipeline.clock import SystemClock
from pipeline.config import LogSettings, StoreSettings
from pipeline.detect.schedule import floor_to
from pipeline.evaluate.told import decoded
from pipeline.simulate import DEFAULT_START, plan
from pipeline.store import Store
from pipeline.store.compact import compact
from pipeline.store.fold import Folder

_MINUTE: Final = timedelta(minutes=1)
_STORED: Final = "tally"
# Other layouts of the same tallies: what stands in the place of the column.
_LAYOUTS: Final = {
    "count above the code, as stored": _STORED,
    "count below the code, as up to store version 15": (
        "list_transform(tally, lambda entry: ((entry & 4095) << 32) | (entry >> 12)) as tally"
    ),
    "count less one above the code": "list_transform(tally, lambda entry: entry - 4096) as tally",
    "a list of codes, a list of counts": (
        "list_transform(tally, lambda entry: (entry & 4095)::usmallint) as codes, "
        "list_transform(tally, lambda entry: entry >> 12) as counts"
    ),
}
# As a grouping leaves rows; as they are stored; and in between.
_ORDERS: Final = {
    "as grouped": "window_start, kind, hash(entity_id)",
    "kind, then events": "window_start, kind, events, first_seen, last_seen",
    "events, as stored": "window_start, events, first_seen, last_seen",
}


def main() -> None:
    """Make the store, print bytes a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=15)
    parser.add_argument("--rate", type=float, default=0.1, help="as in the scenario, where it is 0.008")
    parser.add_argument("--shape", default="fixed_prompt")
    asked = parser.parse_args()
    logs.configure(LogSettings(level="error"), service="bench")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.duckdb"
        length = timedelta(minutes=asked.minutes)
        simulation = plan(asked.shape, seed=1, duration=length, accounts=asked.accounts, rate=asked.rate)
        fill(path, simulation.events)
        for table in ("pane", "hour"):
            _told(path, table)


def fill(path: Path, native: pl.DataFrame) -> None:
    """A store of these events, folded minute by minute."""
    last = native["timestamp"].max()
    assert isinstance(last, datetime)
    events = decoded(native, now=last)
    with Store.open(path, StoreSettings(), clock=SystemClock()) as store:
        end, begun = floor_to(DEFAULT_START, _MINUTE), 0
        while begun < events.height and end <= last + _MINUTE:
            end += _MINUTE
            part = events.filter((pl.col("timestamp") >= end - _MINUTE) & (pl.col("timestamp") < end))
            with store.transaction() as tx:
                apply(tx, part, begun)
            begun += part.height
            folder, more = Folder(max_unfolded_rows=0), True
            while more:
                with store.transaction() as tx:
                    more = folder.turn(tx, end).more
        merged: int | None = 0
        while merged is not None:
            with store.transaction() as tx:
                merged = compact(tx, end + timedelta(days=2))
        store.checkpoint()


def _told(path: Path, table: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as store (read_only)")
        connection.execute("use store")
        connection.execute("set timezone = 'UTC'")
        rows, events, entries = connection.execute(
            f"select count(*), avg(events), avg(len(tally)) from {table}"
        ).fetchall()[0]
        print(f"\n{table}: {rows:,} rows, {events:.1f} events and {entries:.1f} entries each\n")
        print("| bytes a row | " + " | ".join(_ORDERS) + " |\n|---|" + "---|" * len(_ORDERS))
        empty = _size(connection, path, "select 1 as nothing")
        for layout, columns in _LAYOUTS.items():
            sizes = [
                _size(connection, path, f"select * exclude (tally), {columns} from {table} order by {order}")
                for order in _ORDERS.values()
            ]
            print(f"| {layout} | " + " | ".join(f"{(size - empty) / rows:.1f}" for size in sizes) + " |", flush=True)


def _size(connection: duckdb.DuckDBPyConnection, beside: Path, rows: str) -> int:
    """Size of a file that has these rows alone."""
    file = beside.with_name("other.duckdb")
    connection.execute(f"attach '{file}' as other")
    connection.execute(f"create table other.told as {rows}")
    connection.execute("checkpoint other")
    connection.execute("detach other")
    size = file.stat().st_size
    file.unlink()
    return size


if __name__ == "__main__":
    main()
