"""CPU-seconds of a look of every rule at many accounts: `python -m benchmarks.look [--accounts N] [--shape NAME]`.

A simulated world of 5,000 accounts goes through `stillwatch analyze` and is folded, as a running `serve` keeps it. Its
tables are then multiplied in SQL, window by window: each copy has accounts, keys, payments and organisations of its
own, and things of its own that fewer than 20 accounts had; what more had (popular tools, networks, passages) all
copies have together. One look of each rule at the last window, then scores, names and campaigns of all accounts that
have a signal; then passes as `serve` makes them, a minute of event time each, on the clock that rules rest by, the
requests of each minute applied before it and multiplied alike; and again with 50 rules.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import numpy as np
import polars as pl

from pipeline import logs
from pipeline.analyze import analyze
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import LogSettings, Settings, StoreSettings
from pipeline.detect import Aside, Detector
from pipeline.detect.schedule import floor_to
from pipeline.detect.state import write_success
from pipeline.evaluate.told import decoded
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import Delta
from pipeline.metrics import Metrics
from pipeline.rules import RuleSet, load_rules
from pipeline.rules.run import RuleResultError, evaluate
from pipeline.simulate import DEFAULT_START, Chunk, Simulation, plan
from pipeline.store import Applied, Store, Transaction, apply_deltas
from pipeline.store.fold import Folder
from pipeline.store.levels import LEVELS

POPULAR: Final = 20  # accounts from which on a thing is everybody's
_T = TypeVar("_T")
_OWN: Final = ("account", "api_key", "end_user")

# Each table and, of its columns, which belong to a copy alone: always, or where the kind beside them says so.
_TABLES: Final[dict[str, dict[str, str | None]]] = {
    "account_fact": {"account_id": None, "payment_hash": None, "organisation": None},
    "account_seen": {"account_id": None},
    "pane": {"entity_id": "kind"},
    "hour": {"entity_id": "kind"},
    "day": {"entity_id": "kind"},
    "link_hour": {"source_id": "source_kind", "target_id": "target_kind"},
    "link_day": {"source_id": "source_kind", "target_id": "target_kind"},
    "distribution_hour": {"account_id": None},
    "loop_hour": {"account_id": None},
}
# Of a minute that comes: what is not folded yet.
_COMING: Final[dict[str, dict[str, str | None]]] = {
    "pane_delta": {"entity_id": "kind"},
    "link_delta": {"source_id": "source_kind", "target_id": "target_kind"},
    "distribution_delta": {"account_id": None},
    "loop_delta": {"account_id": None},
}
_PARTITION: Final = 1000  # none that analyze writes to

_FOUND: Final = """
select
    'account' as dimension, account_id as entity_id, account_id, 'account:' || account_id as group_key,
    0.6 as strength, 'It sent ' || total as reason, first_seen, last_seen
from ({}) as added
where total >= $least
"""
_MADE: Final = (
    _FOUND.format(
        "select account_id, sum(events) as total, min(first_seen) as first_seen, max(last_seen) as last_seen "
        "from account_hours($since, $until) group by account_id"
    ),
    _FOUND.format(
        "select source_id as account_id, sum(events) as total, min(first_seen) as first_seen, "
        "max(last_seen) as last_seen from link_rows($since, $until) where target_kind = 'client' group by source_id"
    ),
)


def multiply(connection: duckdb.DuckDBPyConnection, copies: int) -> pl.DataFrame:
    """Add ``copies`` copies of everything, the windows of each table in their order; return what is everybody's."""
    everybodys = connection.execute(
        """
        select target_kind as kind, target_id as id
        from link_hour
        where source_kind = 'account'
        group by target_kind, target_id
        having count(distinct source_id) >= ?
        """,
        [POPULAR],
    ).pl()
    _share(connection.execute, everybodys, copies)
    for table, columns in _TABLES.items():
        window = LEVELS[table].window if table in LEVELS else None
        if window is None:
            connection.execute(_copied(table, columns))
            continue
        for (at,) in connection.execute(f"select distinct {window} from {table} order by all").fetchall():
            connection.execute(f"{_copied(table, columns)} and {window} = ?", [at])
    connection.execute("drop table everybodys")
    connection.execute("drop table copy")
    return everybodys


def _share(execute: Callable[..., object], everybodys: pl.DataFrame, copies: int) -> None:
    kinds, ids = everybodys["kind"].to_list(), everybodys["id"].to_list()
    execute(
        "create temp table everybodys as select unnest(?::varchar[]) as kind, unnest(?::varchar[]) as id", [kinds, ids]
    )
    execute("create temp table copy as select '~' || range as mark from range(?)", [copies])


def _copied(table: str, columns: dict[str, str | None]) -> str:
    own = ", ".join(f"'{kind}'" for kind in _OWN)
    marked = ", ".join(
        f"{name} || copy.mark as {name}"
        if kind is None
        else f"if({kind} in ({own}) or (told.{kind}, told.{name}) not in (select (kind, id) from everybodys), "
        f"{name} || copy.mark, {name}) as {name}"
        for name, kind in columns.items()
    )
    # A template's panes are everybody's or one copy's; everybody's are there already.
    left = (
        f"(kind in ({own}) or (told.kind, told.entity_id) not in (select (kind, id) from everybodys))"
        if "entity_id" in columns
        else "true"
    )
    return f"insert into {table} select told.* replace ({marked}) from {table} as told, copy where {left}"


def come(tx: Transaction, events: pl.DataFrame, begun: int) -> datetime | None:
    """Apply decoded events, ``begun`` having come before, and their copies; return the oldest pane that changed."""
    applied = apply(tx, events, begun)
    for table, columns in _COMING.items():
        tx.execute(f"{_copied(table, columns)} and source_partition = {_PARTITION} and from_offset >= {begun}")
    return applied.changed_since


def apply(tx: Transaction, events: pl.DataFrame, begun: int) -> Applied:
    """Apply decoded events, ``begun`` having come before."""
    panes, links = aggregate(events)
    end = begun + events.height
    delta = Delta(
        partition=_PARTITION,
        generation=1,
        from_offset=begun,
        to_offset=end,
        committed=end,
        watermark=None,
        idle=True,
        emitted_at=tx.now,
        events=events.height,
        duplicates=0,
        late=0,
        panes=panes,
        links=links,
        distributions=distributions(events),
        loops=loops(events),
    )
    return apply_deltas(tx, [delta])


def fold(path: Path) -> None:
    """Move all into hours and days; memory is not what is measured here."""
    with Store.open(path, StoreSettings(memory_limit_mb=4096), clock=SystemClock()) as store:
        folder, more = Folder(max_unfolded_rows=0), True
        while more:
            with store.transaction() as tx:
                more = folder.turn(tx, None).more
        store.checkpoint()


def _spent(do: Callable[[], _T]) -> tuple[float, float, _T]:
    began, cpu = time.perf_counter(), time.process_time()
    result = do()
    return time.process_time() - cpu, time.perf_counter() - began, result


def more_rules(rules: RuleSet, number: int) -> RuleSet:
    """These, and as many as are missing to ``number``: sums an account, as users write them."""
    base = rules.rules["banned_still_served"]
    quick = base.meta.model_copy(
        update={"window": timedelta(hours=24), "every": timedelta(minutes=1), "live": False, "dimension": "account"}
    )
    made = {
        f"made_{index:02d}": replace(
            base, rule_id=f"made_{index:02d}", meta=quick, sql=_MADE[index % 2], parameters={"least": 500.0 + index}
        )
        for index in range(number - len(rules))
    }
    return RuleSet({**rules.rules, **made})


class _Skipping(SystemClock):
    """The real clock, set forward where the benchmark would only wait."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped_s


def passes(store: Store, settings: Settings, rules: RuleSet, coming: list[pl.DataFrame], ends: list[datetime]) -> None:
    """Print how long passes take as `serve` makes them, one a minute of event time, after what came in it.

    The writer is held up while a transaction is open; looks that take long are made beside it (``detect.aside``).
    ``coming``: decoded events of each minute; ``ends``: when it ends.
    """
    clock = _Skipping()
    aside = Aside(store, clock, within_s=settings.rules.timeout_s)
    detector = Detector(settings, rules, clock, Metrics(), paced=True, aside=aside)
    begin = ends[0] - timedelta(minutes=1)
    with store.transaction() as tx:
        (begun,) = tx.execute(
            "select coalesce(max(to_offset), 0) from delta_log where source_partition = ?", [_PARTITION]
        ).fetchall()[0]
        for rule in rules:
            write_success(tx, rule.rule_id, floor_to(begin, rule.meta.every), 0, clock.now())
    held_s, whole_s, cpu_s, rule_s = list[float](), list[float](), list[float](), list[float]()
    for events, end in zip(coming, ends, strict=True):
        with store.transaction() as tx:
            changed = come(tx, events, begun)
        begun += events.height
        began, cpu = time.perf_counter(), time.process_time()
        while True:
            step = time.perf_counter()
            with store.transaction() as tx:
                looked = len(detector.run(tx, watermark=end, changed_since=changed).windows)
            detector.committed()
            changed = None
            held_s.append(time.perf_counter() - step)
            rule_s += [time.perf_counter() - began] * looked
            if not aside.pending:
                break
            time.sleep(settings.serve.apply_every_s)  # the stream goes on here
        whole_s.append(time.perf_counter() - began)
        cpu_s.append(time.process_time() - cpu)
        clock.skipped_s += max(0.0, 60 - whole_s[-1])
    aside.close()
    minutes = len(ends)
    print(f"{len(rules)} rules, {minutes} passes, one a minute, {len(rule_s) / minutes:.1f} rules each on average")
    print(f"  from due to stored, a rule: {_spread(rule_s)}")
    print(f"  the last one of a pass: {_spread(whole_s)}; {sum(cpu_s) / minutes:.2f} CPU-s a pass on average")
    print(f"  the writer is held up: {_spread(held_s)}")


def _spread(seconds: list[float]) -> str:
    p50_s, p95_s = np.quantile(seconds, [0.5, 0.95])
    return f"p50 {p50_s:.2f} s, p95 {p95_s:.2f} s, longest {max(seconds):.2f} s"


def make(path: Path, simulation: Simulation, until: datetime, accounts: int) -> tuple[pl.DataFrame, int]:
    """A folded store of what came before ``until``, many times over; return what is everybody's, and copies beside."""
    log = path.with_suffix(".ndjson")
    log.write_bytes(Chunk(simulation.events.filter(pl.col("timestamp") < until)).ndjson())
    clock = ManualClock(until + timedelta(hours=2))
    analyze([log], path, Settings(), clock=clock, metrics=Metrics(), accounts=simulation.accounts.to_dicts())
    log.unlink()
    fold(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        there = connection.execute("select count(*) from account_fact").fetchall()[0][0]
        copies = max(0, round(accounts / there) - 1)
        return multiply(connection, copies), copies


def main() -> None:
    """Print what each step costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--shape", default="fixed_prompt")
    parser.add_argument("--minutes", type=int, default=60, help="passes; 0: one look of each rule only")
    parser.add_argument("--memory-mb", type=int, default=StoreSettings().memory_limit_mb, help="store.memory_limit_mb")
    parser.add_argument("--directory", type=Path, help="where the store is made; by default among temporary files")
    asked = parser.parse_args()
    logs.configure(LogSettings(level="error"), service="bench")
    settings = Settings()
    simulation = plan(asked.shape, seed=1, start=DEFAULT_START)
    last = simulation.events["timestamp"].max()
    assert isinstance(last, datetime)
    until = floor_to(last, timedelta(minutes=1)) - 2 * timedelta(minutes=asked.minutes)
    with tempfile.TemporaryDirectory(dir=asked.directory) as place:
        path = Path(place) / "bench.duckdb"
        everybodys, copies = make(path, simulation, until, asked.accounts)
        with Store.open(path, StoreSettings(memory_limit_mb=asked.memory_mb), clock=SystemClock()) as store:
            rules = load_rules(settings.rules)
            detector = Detector(settings, rules, SystemClock(), Metrics())
            with store.transaction() as tx:
                _share(tx.execute, everybodys, copies)
                accounts, events = tx.execute(
                    "select count(*), sum(events)::bigint from accounts where first_seen is not null"
                ).fetchall()[0]
                print(f"{accounts:,} active accounts, {events:,} events, {store.size_bytes() / 1e6:,.0f} MB")
                a_minute, found = 0.0, set[str]()
                for rule in rules:
                    try:
                        cpu, took, frame = _spent(partial(evaluate, tx, rule, until - rule.meta.window, until))
                    except RuleResultError as error:
                        print(f"{rule.rule_id:24} {error.reason}")
                        continue
                    found |= set(frame["account_id"])
                    a_minute += cpu * (timedelta(minutes=1) / rule.meta.every)
                    print(
                        f"{rule.rule_id:24} {cpu:6.2f} CPU-s {took:6.2f} s, every {rule.meta.every}: "
                        f"{len(frame):,} signals"
                    )
                cpu, took, _ = _spent(partial(detector.judge, tx, found))
                print(f"scores, names, campaigns of {len(found):,}: {cpu:.2f} CPU-s {took:.2f} s")
                print(f"looks and judgement of an average minute: {a_minute + cpu:.2f} CPU-s")
            rest = decoded(simulation.events.filter(pl.col("timestamp") >= until), now=last)
            for part, number in enumerate((len(rules), 50) if asked.minutes else ()):
                ends = [until + timedelta(minutes=part * asked.minutes + one + 1) for one in range(asked.minutes)]
                coming = [
                    rest.filter((pl.col("timestamp") >= end - timedelta(minutes=1)) & (pl.col("timestamp") < end))
                    for end in ends
                ]
                passes(store, settings, more_rules(rules, number), coming, ends)


if __name__ == "__main__":
    main()
