"""A store that holds a month of many accounts: `python -m benchmarks.days [--accounts 100000 --days 30]`.

Two simulated days go through `analyze`, are folded, and stand for the whole in many copies: of accounts, as in
`benchmarks.look`, and of earlier days, in the tables of hours, days and links, as long as those are kept; minutes and
passages of the last two days only, which is what retention leaves. Then: how large a row is in the file, how long
`serve` takes to answer from its start, how long each saved question takes through it, and how fast it takes in what
came while it was down.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import psutil

from benchmarks.__main__ import DEFAULTS
from benchmarks.fill import fill
from benchmarks.load import load
from benchmarks.look import make
from benchmarks.results import record
from benchmarks.stages import serve_answers
from pipeline import logs
from pipeline.bench.steady import cpu_s
from pipeline.cli.saved import saved_queries
from pipeline.config import LogSettings
from pipeline.detect.schedule import floor_to
from pipeline.errors import StillwatchError
from pipeline.serve.client import ServeClient
from pipeline.simulate import plan
from pipeline.store.levels import LEVELS, ORIGIN
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

SIMULATED: Final = timedelta(days=2)
PARTITIONS: Final = 4
STORE: Final = "store.duckdb"  # as Pipeline names it
# What is kept for longer than two days, with the column of its window and its other times.
_KEPT: Final[dict[str, tuple[str, ...]]] = {
    "hour": ("window_start", "first_seen", "last_seen"),
    "day": ("window_start", "first_seen", "last_seen"),
    "link_hour": ("hour", "first_seen", "last_seen"),
    "link_day": ("day", "first_seen", "last_seen"),
    "distribution_hour": ("hour",),
}
_PANES: Final = ("pane", "hour", "day")
_STEP_S: Final = 0.25
_SETTLES_WITHIN_S: Final = 600.0


def main() -> None:
    """Make the store, ask it, take in what came meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=30, help="an even number")
    parser.add_argument("--shape", default="fixed_prompt")
    parser.add_argument("--repeats", type=int, default=5, help="of each saved question")
    parser.add_argument("--down-minutes", type=int, default=10, help="how long events waited for serve, in event time")
    parser.add_argument("--down-rate", type=int, default=5_000, help="events a second that came meanwhile")
    parser.add_argument("--directory", type=Path, help="the store is made there where it is missing, and kept")
    parser.add_argument("--make-only", action="store_true", help="make the store, measure nothing")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    if options.make_only:
        if options.directory is None:
            parser.error("--make-only wants --directory")
        month(options.directory / STORE, accounts=options.accounts, days=options.days, shape=options.shape)
        return
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        kafka = KafkaServer(place)
        kafka.start()
        pipeline = Pipeline(kafka.bootstrap, options.directory or place, "days", PARTITIONS, DEFAULTS)
        path = pipeline.store
        try:
            month(path, accounts=options.accounts, days=options.days, shape=options.shape)
            rows = _sizes(path)
            print(rows, flush=True)
            asked = _asked(pipeline, options.repeats)
            caught_up = _caught_up(pipeline, options.down_minutes, options.down_rate)
        finally:
            pipeline.close()
            kafka.stop()
    if options.record:
        record("days", {**rows, **asked, "catch_up": caught_up})


def month(path: Path, *, accounts: int, days: int, shape: str) -> None:
    """Make the store; one that was begun is gone on with, as long as it has the two days."""
    begun = time.monotonic()
    if not path.exists():
        logs.configure(LogSettings(level="error"), service="bench")
        begin = floor_to(datetime.now(UTC), timedelta(days=1)) - SIMULATED + timedelta(days=1)
        made = path.with_suffix(".made")
        make(made, plan(shape, seed=1, start=begin), begin + SIMULATED, accounts)
        made.rename(path)
    print(f"{SIMULATED.days} days of {accounts:,} accounts after {time.monotonic() - begun:.0f} s", flush=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        connection.execute("set memory_limit = '6GB'")
        for back in range(1, days // SIMULATED.days):
            _earlier(connection, back * SIMULATED)
        _account_for(connection)
        connection.execute("checkpoint")
    print(f"made after {time.monotonic() - begun:.0f} s", flush=True)


def _earlier(connection: duckdb.DuckDBPyConnection, back: timedelta) -> None:
    """What was simulated once more, so much earlier; a window at a time, as it comes."""
    # Minutes are there for the simulated days only.
    (begin,) = connection.execute("select date_trunc('day', min(window_start)) from pane").fetchall()[0]
    for table, times in _KEPT.items():
        moved = ", ".join(f"{name} - to_days({back.days}) as {name}" for name in times)
        window = times[0]
        starts = connection.execute(
            f"""
            select distinct {window} from {table}
            where {window} >= $begin and {window} - to_days({back.days}) not in (select distinct {window} from {table})
            order by all
            """,
            {"begin": begin},
        ).fetchall()
        for (at,) in starts:
            connection.execute(f"insert into {table} select * replace ({moved}) from {table} where {window} = ?", [at])


def _account_for(connection: duckdb.DuckDBPyConnection) -> None:
    """The account of rows that retention and merging go by, as if all had been merged just now."""
    connection.execute("delete from window_rows")
    for level in LEVELS.values():
        connection.execute(
            f"insert into window_rows by name select '{level.table}' as level, {level.bucket} as bucket, "
            f"{level.window or ORIGIN} as window_start, count(*) as base, 0 as added, now() as written_at "
            f"from {level.table} group by all"
        )


def _sizes(path: Path) -> dict[str, Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        size = connection.execute("select block_size from pragma_database_size()").fetchall()[0][0]
        tables: dict[str, dict[str, Any]] = {}
        for table in LEVELS:
            (count,) = connection.execute(f"select count(*) from {table}").fetchall()[0]
            tables[table] = {"rows": count, "bytes": _blocks(connection, table, "true") * size}
            if table in _PANES:
                (entries,) = connection.execute(f"select avg(len(tally)) from {table}").fetchall()[0]
                tallies = _blocks(connection, table, "column_name = 'tally'") * size
                tables[table] |= {"tally_bytes": tallies, "tally_entries": entries}
        (days,) = connection.execute("select count(distinct window_start) from day").fetchall()[0]
        accounts, events = connection.execute(
            "select count(distinct account_id), sum(events)::bigint from account_seen"
        ).fetchall()[0]
    panes = sum(tables[table]["rows"] for table in _PANES)
    return {
        "accounts": accounts,
        "days": days,
        "events_of_two_days": events,
        "file_bytes": path.stat().st_size,
        "rows": sum(one["rows"] for one in tables.values()),
        "pane_rows": panes,
        "pane_bytes": sum(tables[table]["bytes"] for table in _PANES) / panes,
        "tables": tables,
    }


def _blocks(connection: duckdb.DuckDBPyConnection, table: str, where: str) -> int:
    """Blocks of the file that a table's columns are in; a few of small columns are counted for each of them."""
    (found,) = connection.execute(
        f"select count(distinct block_id) from (select unnest([block_id] || additional_block_ids) as block_id "
        f"from pragma_storage_info('{table}') where persistent and {where})"
    ).fetchall()[0]
    return int(found)


def _asked(pipeline: Pipeline, repeats: int) -> dict[str, Any]:
    """From starting serve to its first answer, and each saved question through it."""
    begun = time.monotonic()
    process = psutil.Process(pipeline.spawn("serve").pid)
    client = _first_answer(pipeline)
    start_s = time.monotonic() - begun
    print(f"serve answers after {start_s:.2f} s", flush=True)
    rows: list[dict[str, Any]] = []
    for query in saved_queries():
        took_s: list[float] = []
        failed = ""
        for _ in range(repeats):
            began = time.monotonic()
            try:
                client.query(query.sql, query.defaults, max_rows=10_000, timeout_s=120)
            except StillwatchError as error:
                failed = error.message
                break
            took_s.append(time.monotonic() - began)
        rows.append({"name": query.name, "failed": failed} | _spread(took_s))
        print(rows[-1], flush=True)
    memory_mb = process.memory_info().rss / 1e6
    pipeline.stop("serve")
    return {"start_s": start_s, "queries": rows, "repeats": repeats, "serve_mb": memory_mb}


def _spread(took_s: list[float]) -> dict[str, float]:
    if not took_s:
        return {}
    p50_s, p95_s = np.quantile(took_s, [0.5, 0.95])
    return {"p50_s": float(p50_s), "p95_s": float(p95_s)}


def _first_answer(pipeline: Pipeline) -> ServeClient:
    """As soon as it answers: what a person waits for who starts it."""
    client = serve_answers(pipeline)
    client.query("select 1", max_rows=1, timeout_s=60)
    return client


def _caught_up(pipeline: Pipeline, minutes: int, rate: int) -> dict[str, Any]:
    """Everything starts after so long a stop: how fast is what waited taken in, by a store of this size."""
    events = minutes * 60 * rate
    fill(pipeline.bootstrap, pipeline.requests, PARTITIONS, load(events, span=timedelta(minutes=minutes)))
    pipeline.spawn("serve")
    client = _first_answer(pipeline)
    before = _events(client)
    begun = time.monotonic()
    for stage in ("ingest", "worker"):
        pipeline.spawn(stage)
    processes = [psutil.Process(pid) for pid in pipeline.pids("ingest", "worker", "serve")]
    before_s, peak_mb = cpu_s(processes[-1:]), 0.0
    while (seen := _events(client) - before) < events:
        if time.monotonic() - begun > _SETTLES_WITHIN_S or pipeline.died():
            raise SystemExit(f"{seen:,} of {events:,} caught up with, ended: {pipeline.died()}")
        peak_mb = max(peak_mb, processes[-1].memory_info().rss / 1e6)
        time.sleep(_STEP_S)
    took_s = time.monotonic() - begun
    found = {
        "minutes": minutes,
        "rate": rate,
        "took_s": took_s,
        "events_per_s": events / took_s,
        "times_real_time": minutes * 60 / took_s,
        "cpu_s_per_million": cpu_s(processes) / events * 1e6,
        "serve_cpu_s_per_million": (cpu_s(processes[-1:]) - before_s) / events * 1e6,
        "serve_peak_mb": peak_mb,
    }
    print(found, flush=True)
    return found


def _events(client: ServeClient) -> int:
    """All that the store counts, by its accounts: what it says of its partitions begins anew with a broker that is."""
    found = client.query("select sum(events)::bigint as events from accounts", max_rows=1, timeout_s=60)
    return int(found.table.column("events")[0].as_py())


if __name__ == "__main__":
    main()
