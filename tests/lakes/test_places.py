"""How a DuckLake is named, what is said where it cannot be used, what a query reaches of it, that it stays small."""

from __future__ import annotations

import importlib.util
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.clock import ManualClock
from pipeline.config import Lake, StoreSettings, beside, load, place_of
from pipeline.errors import ConfigError, QueryError, StoreError
from pipeline.store import Store, apply_deltas, fold, set_offset
from pipeline.store.backup import backup, restore
from pipeline.store.query import run_query
from tests.lakes.made import Lakes
from tests.store.made import OLD_TALLY, SETTINGS, START, Event, delta, minutes
from tests.store.test_query import HOSTILE

pytestmark = pytest.mark.xdist_group("lakes")

OF_A_LAKE = (
    "select * from __ducklake_metadata_lake.ducklake_metadata",
    "select * from __ducklake_metadata_lake.main.ducklake_data_file",
    "select * from __ducklake_metadata_lake.public.ducklake_data_file",
    "select * from lake.main.outbox",
    "select * from lake.main.accounts",
    "select * from accounts at (version => 1)",
    "select * from accounts at (timestamp => now())",
    "select * from lake.snapshots()",
    "select * from ducklake_snapshots('lake')",
    "select * from ducklake_options('lake')",
    "select * from ducklake_list_files('lake', 'outbox')",
    "select * from ducklake_table_insertions('lake', 'main', 'outbox', 0, 9)",
    "call ducklake_expire_snapshots('lake', older_than => now())",
    "call lake.set_option('data_inlining_row_limit', 5)",
    "select * from sqlite_scan('/etc/x.sqlite', 'x')",
    "select * from sqlite_query('__ducklake_metadata_lake', 'select 1')",
    "select * from postgres_scan('dbname=postgres', 'pg_catalog', 'pg_authid')",
    "select * from postgres_query('__ducklake_metadata_lake', 'select 1')",
    "call postgres_execute('__ducklake_metadata_lake', 'select 1')",
    "attach 'x.sqlite' as x (type sqlite)",
    "select * from duckdb_databases()",
    "use memory",
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ducklake:mysql:db", "is named ducklake:postgres"),
        ("ducklake:", "is named ducklake:postgres"),
        ("ducklake:postgres:dbname=x password=hunter2", "secret does not belong here"),
        ("ducklake:postgres:dbname=x PassWord = 'hunter2'", "secret does not belong here"),
        ("ducklake:postgres:postgresql://u:hunter2@h/db", "no URI here"),
    ],
)
def test_a_name_that_is_none_is_refused_without_a_word_of_it(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load(environ={"STILLWATCH_STORE__PATH": text})
    assert "hunter2" not in str(caught.value)


def test_names_that_are_some() -> None:
    assert place_of("a/b.duckdb") == Path("a/b.duckdb")
    lake = place_of(Path("ducklake:sqlite:a/b.sqlite"))
    assert lake == Lake("sqlite", "a/b.sqlite")
    assert str(lake) == "ducklake:sqlite:a/b.sqlite"
    assert beside(lake) == Path("a/b.sqlite")
    served = place_of("ducklake:postgres:dbname=x host=db")
    assert beside(served).parent == Path("stillwatch-data")
    assert load(environ={"STILLWATCH_STORE__PATH": str(served)}).settings.store.path == served


def opened(place: Lake, settings: StoreSettings = SETTINGS, *, read_only: bool = False) -> Store:
    return Store.open(place, settings, clock=ManualClock(START), read_only=read_only)


def test_what_is_not_there_is_told(lakes: Lakes) -> None:
    nothing = lakes.empty("nothing_here")
    with pytest.raises(StoreError, match="no DuckLake"):
        opened(nothing, read_only=True)
    if lakes.kind == "postgres":
        with pytest.raises(StoreError, match="where its data files go"):
            opened(nothing)
    else:
        opened(nothing).close()
        opened(nothing, read_only=True).close()
        assert (lakes.directory / "nothing_here.sqlite.data").is_dir()
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    elsewhere = settings.model_copy(update={"data_path": lakes.directory / "elsewhere"})
    with pytest.raises(StoreError, match="data files are elsewhere"):
        opened(place, elsewhere)
    opened(place, settings).close()  # nobody holds the lock


def test_a_server_that_is_not_there_and_a_password_are_not_told(lakes: Lakes) -> None:
    settings = SETTINGS.model_copy(update={"catalog_password": SecretStr("hunter2")})
    nowhere = Lake("postgres", "host=127.0.0.1 port=1 dbname=x user=u")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="its Postgres cannot be used") as caught:
            opened(nowhere, settings, read_only=read_only)
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(caught.value.__cause__)
    if lakes.kind == "postgres":
        place, own = lakes.fresh(settings, ManualClock(START))
        with opened(place, own) as store:
            shown = store.connection.execute("select path from duckdb_databases()").fetchall()
            secrets = store.connection.execute("from duckdb_secrets()").fetchall()
        assert "hunter2" not in repr([shown, secrets])


def test_without_the_extension_it_says_what_to_install(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StoreError, match="extension ducklake") as caught:
        opened(place, settings)
    assert "stillwatch[ducklake]" in caught.value.next_step


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="psycopg") as caught:
        opened(Lake("postgres", "dbname=x"), SETTINGS)
    assert "stillwatch[ducklake]" in caught.value.next_step


def test_the_root_of_all_files_is_no_directory_for_data(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"data_path": Path("/")})
    with pytest.raises(StoreError, match="without a directory for its data"):
        opened(Lake("sqlite", str(tmp_path / "a.sqlite")), settings)


def test_a_file_is_no_lake_and_a_lake_no_file(lakes: Lakes, tmp_path: Path) -> None:
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    with opened(place, settings) as store, pytest.raises(StoreError, match="not one file") as caught:
        backup(store, tmp_path / "copy")
    assert "pg_dump" in caught.value.next_step
    with pytest.raises(StoreError, match="does not become a DuckLake"):
        restore(tmp_path / "copy", place)


def test_hostile_sql_is_refused_by_writer_and_reader(lakes: Lakes) -> None:
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    with opened(place, settings) as store, opened(place, read_only=True) as reader:
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 2, [Event("a", 1), Event("b", 2)])])
        for asked, refused in ((store, (*HOSTILE[::4], *OF_A_LAKE)), (reader, OF_A_LAKE)):
            for sql in refused:
                with pytest.raises(QueryError):
                    run_query(asked, sql, timeout_s=20, max_rows=10)
            found = run_query(asked, "select count(*) as n from accounts", timeout_s=20, max_rows=10)
            assert found.table.column("n").to_pylist() == [2]
            of_the_lake = run_query(
                asked, "select distinct database_name as d from duckdb_columns()", timeout_s=20, max_rows=10
            )
            assert "__ducklake_metadata_lake" not in of_the_lake.table.column("d").to_pylist()
        # The instance itself holds, whatever a query would slip past the judge.
        for outside in ("read_text('/etc/passwd')", "glob('/*')", "read_csv('https://example.com/x.csv')"):
            with pytest.raises(Exception, match="disabled by configuration"):
                reader.reader().execute(f"select * from {outside}")


def test_tallies_of_an_older_version_are_converted(lakes: Lakes) -> None:
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    tallies = "select kind, entity_id, window_start, tally from fingerprints_1h order by all"
    with opened(place, settings) as store:
        with store.transaction() as tx:
            events = [Event(f"a{n % 3}", n * 60, n) for n in range(20)]
            apply_deltas(tx, [delta(n, n + 1, [event], committed=n) for n, event in enumerate(events)])
            fold(tx, watermark=START + timedelta(minutes=10))
        before = store.connection.execute(tallies).fetchall()
        with store.transaction() as tx:
            for table in ("pane_delta", "pane", "hour", "day"):
                tx.execute(f"update {table} set tally = {OLD_TALLY}")
            tx.execute("delete from schema_version where version > 15")
    with opened(place, settings) as store:
        assert store.connection.execute(tallies).fetchall() == before


def test_upkeep_keeps_files_and_rows_of_the_catalogue_few(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.store.lake.KEPT_FOR", "0 seconds")
    place, settings = lakes.fresh(SETTINGS, ManualClock(START))
    data = settings.data_path
    assert data is not None
    with opened(place, settings) as store:
        for n in range(9):
            with store.transaction() as tx:
                events = [Event(f"a{k}", n * 60 + k % 60) for k in range(40)]
                apply_deltas(tx, [delta(n, n + 1, events, committed=n)])
                set_offset(tx, "t", 0, n, "epoch")
                if n % 3 == 2:
                    fold(tx, watermark=START + timedelta(minutes=n))
        before, files = minutes(store), len(list(data.rglob("*.parquet")))
        assert files > 25
        for _ in range(2):  # what the first round replaced goes in the second
            while store.checkpoint():
                pass
        assert minutes(store) == before
        assert len(list(data.rglob("*.parquet"))) < files
        inlined = store.connection.execute(
            "select table_name from __ducklake_metadata_lake.ducklake_inlined_data_tables"
        ).fetchall()
        assert (lakes.kind == "postgres") == bool(inlined)
        for (table,) in inlined:
            assert store.connection.execute(f'select count(*) from __ducklake_metadata_lake."{table}"').fetchone() == (
                0,
            )
        assert store.size_bytes() > 0
    with opened(place, read_only=True) as store:
        assert minutes(store) == before
