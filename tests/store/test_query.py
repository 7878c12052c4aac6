"""A reader cannot write, cannot leave the store, and cannot take it with him."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.errors import QueryError, StoreError
from pipeline.store import Store, apply_deltas
from pipeline.store.query import Result, run_query
from pipeline.store.readers import HOLD_S
from tests.store.made import SETTINGS, START, Event, delta

HOSTILE = [
    "select 1; select 2",
    "commit; delete from hole",
    "select 1; commit; drop table pane",
    "with gone as (delete from hole returning *) select * from gone",
    "delete from hole",
    "insert into hole values (1, 2, 3, now(), false)",
    "update delta_log set events = 0",
    "drop view accounts",
    "create table x as select 1",
    "create temp table x as select 1",
    "create macro f(x) as x",
    "alter table pane add column x int",
    "truncate pane",
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_parquet('x')",
    "select * from glob('/*')",
    "from '/etc/passwd'",
    "from 'https://example.com/x.csv'",
    "select * from read_json('https://example.com/x')",
    "attach 'x.duckdb'",
    "attach ':memory:' as m",
    "detach memory",
    "use information_schema",
    "copy (select 1) to '/tmp/x.csv'",
    "copy pane from '/etc/passwd'",
    "export database '/tmp/x'",
    "import database '/tmp/x'",
    "install httpfs",
    "load httpfs",
    "force install httpfs from 'http://x'",
    "set memory_limit = '100GB'",
    "set enable_external_access = true",
    "reset lock_configuration",
    "pragma enable_profiling",
    "pragma database_list",
    "select * from pragma_database_list",
    "call pragma_version()",
    "checkpoint",
    "force checkpoint",
    "vacuum",
    "begin",
    "rollback",
    "prepare p as select 1",
    "execute p",
    "create secret s (type s3)",
    "select * from duckdb_secrets()",
    "select * from duckdb_settings()",
    "select current_setting('temp_directory')",
    "select getenv('HOME')",
    "select * from query('delete from hole')",
    "select * from query_table('hole')",
    "select * from sqlite_master",
    "select * from pg_catalog.pg_class",
    "select * from outbox",
    "select * from main.outbox",
    "select * from memory.main.outbox",
    "select (select count(*) from pane_delta)",
    "select 1 where exists (from pane)",
    "explain analyze delete from hole",
    "explain (select 1); drop table hole",
    "explain analyze select * from outbox",
    "select write_log('x')",
    "select repeat('x', 1000000000)",
    "select format('{:>1500000000}', 'x')",
    "select printf('%1500000000d', 1)",
    "select len(range(300000000))",
    "select list_resize([1], 500000000)",
    "select bitstring('1', 2000000000)",
    "select replace('aaa', 'a', 'bbb')",
    "select list_reduce([1, 2, 3], (a, b) -> a || b, 'x')",
    "select array_to_string([1], 'x')",
    "select list_aggregate(['a'], 'string_agg', 'x')",
    "select hex(hex('x'))",
    "select sleep_ms(1)",
    "select json_serialize_sql('select 1')",
    "select " + " || ".join(["'x'"] * 70),
    "select x || x from (select " + " || ".join(["'x'"] * 64) + " as x)",
    "select '" + "x" * 5000 + "'",
    "",
    "-- nothing",
    ";",
]


@contextmanager
def opened(directory: Path) -> Iterator[Store]:
    """A store of three accounts."""
    with Store.open(directory / "s.duckdb", SETTINGS, clock=ManualClock(START)) as store:
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 3, [Event("a", 1), Event("b", 2), Event("c", 200)])])
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all who only ask: whoever changes it fails the next one too."""
    with opened(tmp_path_factory.mktemp("same")) as store:
        yield store


def ask(
    store: Store, sql: str, params: dict[str, object] | None = None, *, timeout_s: float = 20, max_rows: int = 100
) -> Result:
    return run_query(store, sql, params=params, timeout_s=timeout_s, max_rows=max_rows)


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_sql_is_refused_and_changes_nothing(same: Store, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(same, sql)
    assert caught.value.next_step
    with same.transaction() as tx:
        assert tx.execute("select count(*) from pane_delta where kind = 'account'").fetchone() == (3,)
        assert tx.execute("select current_setting('lock_configuration')").fetchone() == (True,)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from accounts",
        "from accounts",
        "with accounts as (select 1 as x) select * from accounts",
        "select tally_quantile(tally, 2, 0.5) from fingerprints_1h",
        "/* a */ explain /* b */ select * from links",
        "explain analyze select count(*) from fingerprints_1m",
        "explain (format json) select 1",
        "describe fingerprints_1d",
        "summarize accounts",
        "show tables",
        "select table_name from information_schema.tables",
        "select * from (values (1), (2)) as t (x)",
        "select unnest([1, 2]), list_transform([1, 2], lambda i: i + 1), [1, 2, 3][1:2], {'a': 1}.a",
        "select * from range(3)",
        "select count(*) from active_accounts('2026-01-01', '2026-02-01')",
        "select count(*) from account_texts('2026-01-01', '2026-02-01')",
        "select 'a' || account_id, sum(events) over (), extract(hour from last_seen), account_id like 'a%' from accounts",  # noqa: E501
        "select date_trunc('hour', now()) - interval 1 day, current_date, cast('1' as int), coalesce(null, 1), -1",
        "select count(*) filter (where events > 1), string_agg(account_id, ', ' order by account_id) from accounts",
        "from (pivot accounts on account_id in ('a', 'b') using sum(events))",
        "select 1;",
    ],
)
def test_what_analysts_write_runs(same: Store, sql: str) -> None:
    assert ask(same, sql).table.num_rows >= 1


def test_without_its_first_guard_the_transaction_still_refuses(store: Store) -> None:
    """The judge only keeps to the views: DuckDB itself must stop what it might miss."""
    with store.reader() as cursor:
        for sql in ("delete from hole", "create table x as select 1", "attach 'x.duckdb'", "from '/etc/passwd'"):
            cursor.execute("begin transaction read only")
            with pytest.raises(Exception, match=r"read-only|disabled|transaction|does not exist"):
                cursor.execute(sql)
            cursor.execute("rollback")
        with pytest.raises(Exception, match="locked"):
            cursor.execute("set enable_external_access = true")


def test_rows_are_limited_and_that_is_said(store: Store) -> None:
    cut = ask(store, "select * from range(1000000000)", max_rows=7)
    assert (cut.table.num_rows, cut.truncated) == (7, True)
    whole = ask(store, "select * from range(7)", max_rows=7)
    assert (whole.table.num_rows, whole.truncated) == (7, False)
    assert ask(store, "select 1 where false").table.num_rows == 0


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from range(10000000000) as a, range(1000) as b",
        "with recursive r as (select 1 as n union all select n + 1 from r) select max(n) from r",
        "select sum(a.range * b.range) from range(100000000) as a, range(1000000) as b",
    ],
)
def test_endless_queries_end(store: Store, sql: str) -> None:
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"longer than 0\.3 s"):
        ask(store, sql, timeout_s=0.3)
    assert time.monotonic() - began < 5
    assert ask(store, "select count(*) from accounts").table.to_pylist() == [{"count_star()": 3}]


def test_memory_is_limited(tmp_path: Path) -> None:
    small = SETTINGS.model_copy(update={"memory_limit_mb": 64})
    with (
        Store.open(None, small, clock=ManualClock(START)) as store,
        pytest.raises(QueryError, match="more memory"),
    ):
        ask(store, "select list(range || 'some text of some length') from range(100000000)", timeout_s=60)
    assert not list(tmp_path.iterdir())


def test_no_column_is_lost_for_having_the_name_of_another(store: Store) -> None:
    sql = "select a.account_id, b.account_id, 1 as account_id_1 from accounts as a, accounts as b limit 1"
    [row] = ask(store, sql).table.to_pylist()
    assert list(row) == ["account_id", "account_id_2", "account_id_1"]
    for unnamed in ("select (1, 2)", "select [row(1, 2)]"):
        with pytest.raises(QueryError, match="fields without names"):
            ask(store, unnamed)
    assert ask(store, "select {'a': 1, 'b': [2]} as x, map {'k': 1} as m").table.num_rows == 1


def test_parameters_are_bound_by_name(store: Store) -> None:
    sql = "select events from accounts where account_id = $account"
    assert ask(store, sql, {"account": "a", "unused": 1}).table.to_pylist() == [{"events": 1}]
    assert ask(store, sql, {"account": "a' or true --"}).table.num_rows == 0
    with pytest.raises(QueryError, match=r"no value for \$account"):
        ask(store, sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [("selec 1", "syntax error"), ("select nope from accounts", "nope"), ("select 1/'x'", "Could not convert")],
)
def test_mistakes_are_told_as_duckdb_tells_them(store: Store, sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        ask(store, sql)


def test_readers_and_the_writer_work_at_the_same_time(store: Store) -> None:
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            [row] = ask(
                store,
                "select (select sum(events) from fingerprints_1m where kind = 'account')"
                " - (select sum(events) from fingerprints_1h where kind = 'account') as off",
            ).table.to_pylist()
            if row["off"] != 0:
                wrong.append(row)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(20):
        with store.transaction() as tx:
            apply_deltas(tx, [delta(3 + n, 4 + n, [Event("w", 60 * n)])])
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert ask(store, "select events from accounts where account_id = 'w'").table.to_pylist() == [{"events": 20}]


def test_queries_that_fill_the_memory_are_stopped_for_the_writer(tmp_path: Path) -> None:
    small, clock = SETTINGS.model_copy(update={"memory_limit_mb": 96}), ManualClock(START)
    hungry = "select list(range || 'some text of some length') from range(100000000)"
    with Store.open(tmp_path / "s.duckdb", small, clock=clock) as store:
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                with suppress(QueryError):
                    ask(store, hungry)
                stop.wait(0.01)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        written = failed = 0
        deadline = time.monotonic() + 60
        try:
            while not (failed and written > failed) and time.monotonic() < deadline:
                events = [Event(f"a{n}", n % 60) for n in range(400)]
                try:
                    with store.transaction() as tx:
                        apply_deltas(tx, [delta(written, written + 1, events)])
                except StoreError:  # out of memory
                    failed += 1
                    stop.wait(0.5)  # serve waits, too, before it tries again
                else:
                    written += 1
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        assert failed, "the writer was never short of memory: the test shows nothing"
        with pytest.raises(QueryError, match="the writer needs the memory"):
            ask(store, "select 1")
        clock.advance(HOLD_S)
        assert ask(store, "select sum(events)::int as n from accounts").table.to_pylist() == [{"n": 400 * written}]
