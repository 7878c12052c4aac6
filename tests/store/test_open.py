"""Bad days with the file: each ends in an error that says what to do, and loses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.errors import StoreError, StoreLockedError, StoreVersionError
from pipeline.store import Store, apply_deltas, fold
from pipeline.store.connection import explained
from pipeline.store.migrate import migrate, migrations, stored_version
from pipeline.store.verify import verify_file
from tests.store.made import OLD_TALLY, SETTINGS, START, Event, delta, minutes, rows

ROOT = Path(__file__).resolve().parents[2]


def opened(path: Path, *, read_only: bool = False) -> Store:
    return Store.open(path, SETTINGS, clock=ManualClock(START), read_only=read_only)


def child(code: str, *arguments: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with what these tests use at hand."""
    head = """
    import sys, resource
    from pathlib import Path
    from pipeline.errors import *
    from pipeline.store import *
    from tests.store.made import *
    from tests.store.test_open import opened
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_it_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "a store.duckdb"
    with opened(path) as store:
        assert stored_version(store.connection) == len(migrations())
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 1, [Event("a", 1)])])
    with opened(path) as store:
        assert minutes(store) == {("a", 0): (1, 10)}
        assert store.size_bytes() > 0
    with opened(path, read_only=True) as store:
        assert minutes(store) == {("a", 0): (1, 10)}
        with pytest.raises(StoreError, match="reading only"), store.transaction():
            pass


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    opened(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("insert into schema_version values (999, 'later', now())")
    for read_only in (False, True):
        with pytest.raises(StoreVersionError, match=r"newer Stillwatch \(store version 999") as caught:
            opened(path, read_only=read_only)
        assert "install that version" in caught.value.next_step


COUNTED = [Event(f"a{n % 5}", n * 90, n) for n in range(40)]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this version with all of COUNTED, some of it final, some not."""
    path = tmp_path_factory.mktemp("counted") / "new.duckdb"
    with opened(path) as store, store.transaction() as tx:
        apply_deltas(tx, [delta(n, n + 1, [event], committed=n) for n, event in enumerate(COUNTED)])
        fold(tx, watermark=START + timedelta(minutes=30))
    return path


@pytest.mark.xdist_group("older stores")  # what they are made of is made once
@pytest.mark.parametrize("version", range(1, len(migrations())))
def test_a_store_of_each_older_version_is_migrated_with_all_it_counted(
    counted: Path, tmp_path: Path, version: int
) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("set timezone = 'UTC'")
        migrate(connection, now=START, place="old", up_to=version)
        connection.execute("create view old_view as select 1 as x")
        connection.execute(f"attach '{counted}' as new (read_only)")
        tables = connection.execute("select table_name from duckdb_tables() where database_name = 'old'").fetchall()
        # Those that both versions have: a later one may have moved a column elsewhere.
        columns = (
            "select column_name from duckdb_columns() where database_name in ('old', 'new') and table_name = ? "
            "group by column_name having count(*) = 2"
        )
        for (table,) in tables:
            if table not in ("schema_version", "meta"):
                names = [name for (name,) in connection.execute(columns, [table]).fetchall()]
                told = ", ".join(
                    f"{OLD_TALLY} as tally" if name == "tally" and version < 16 else name for name in names
                )
                connection.execute(f"insert into {table} by name select {told} from new.main.{table}")
    with pytest.raises(StoreVersionError, match="older version"):
        opened(path, read_only=True)
    tallies = "select kind, entity_id, window_start, tally from fingerprints_1{} order by all"
    with opened(counted, read_only=True) as store:
        as_new = [rows(store, tallies.format(size)) for size in "mhd"]
    with opened(path) as store:
        assert stored_version(store.connection) == len(migrations())
        assert [rows(store, tallies.format(size)) for size in "mhd"] == as_new
        expected = Counter((event.account, int(event.at_s // 60)) for event in COUNTED)
        assert {key: count for key, (count, _) in minutes(store).items()} == expected
        assert rows(store, "select sum(events)::int, sum(output_tokens)::int from accounts") == [(40, sum(range(40)))]
        assert rows(store, "select count(*) from suspicious_accounts") == [(0,)]
        assert rows(store, "select count(*) from duckdb_views() where view_name = 'old_view'") == [(0,)]
    assert verify_file(path).events == 40


def test_a_second_opener_in_this_process_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with opened(path), pytest.raises(StoreLockedError, match="in this process"):
        opened(tmp_path / "." / "s.duckdb")
    opened(path).close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_second_process_is_told_which_has_it(tmp_path: Path, *, read_only: bool) -> None:
    path = tmp_path / "s.duckdb"
    with opened(path):
        done = child(
            """
            try: opened(Path(sys.argv[1]), read_only=sys.argv[2] == "True")
            except StoreLockedError as error: print(error)
            """,
            path,
            read_only,
        )
    assert re.search(rf"open in process {os.getpid()}\b.*→ ask through it", done.stdout), done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no database" * 1000, "damaged, or no DuckDB file"), (b"x", "damaged, or no DuckDB file|No such|not a valid")],
)
def test_a_file_that_is_none_of_ours(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said):
        opened(path)
    assert path.read_bytes() == content


def test_a_duckdb_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table theirs as select 1 as x")
    with pytest.raises(StoreError, match="no Stillwatch store; it has theirs"):
        opened(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("show tables").fetchall() == [("theirs",)]


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with opened(path) as store, store.transaction() as tx:
        apply_deltas(tx, [delta(n, n + 1, [Event(f"a{k}", n * 60 + k) for k in range(200)]) for n in range(20)])
    content = bytearray(path.read_bytes())
    for at in range(4096 * 4, len(content), 8192):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    done = child(
        """
        try:
            with opened(Path(sys.argv[1])) as store:
                with store.transaction() as tx:
                    tx.execute("select sum(events) from pane_delta").fetchall()
        except StoreError as error: print(error)
        """,
        path,
    )
    assert "damaged" in done.stdout, (done.stdout, done.stderr[-2000:])


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such directory") as caught:
        opened(tmp_path / "nowhere" / "s.duckdb")
    assert "mkdir" in caught.value.next_step
    with pytest.raises(StoreError, match="a directory"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="no store here"):
        opened(tmp_path / "s.duckdb", read_only=True)


def test_a_full_disk_rolls_back_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The limit of file size stands for the disk: DuckDB is told "File too large" by the kernel in the same places."""
    path = tmp_path / "s.duckdb"
    done = child(
        """
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        def more(store, n):
            with store.transaction() as tx:
                apply_deltas(tx, [delta(n, n + 1, [Event(f"a{k}", n * 60 + k, k) for k in range(400)])])
        path = Path(sys.argv[1])
        store = opened(path)
        more(store, 0)
        store.checkpoint()
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
        n = 1
        try:
            while n < 100:
                more(store, n)
                n += 1
        except StoreError as error:
            print(error)
        try:
            store.checkpoint()  # after which DuckDB refuses everything
        except StoreError as error:
            print("checkpoint:", error)
        try:
            more(store, n)
        except StoreError as error:
            print("again:", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        more(store, n)
        print("stored", sum(events for events, _ in minutes(store).values()))
        print("expected", (n + 1) * 400)
        """,
        path,
    )
    for when in ("", "checkpoint: ", "again: "):
        assert f"\n{when}{path}: the disk is full" in "\n" + done.stdout, (done.stdout, done.stderr[-3000:])
    stored = re.search(r"stored (\d+)\nexpected (\d+)", done.stdout)
    assert stored, (done.stdout, done.stderr[-3000:])
    assert stored[1] == stored[2]


def test_killed_without_a_checkpoint_all_that_was_committed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    done = child(
        """
        import os, signal
        store = opened(Path(sys.argv[1]))
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 1, [Event("a", 1)])])
        tx = store.connection.execute("begin transaction")
        apply_deltas(Transaction(store.connection, START), [delta(1, 2, [Event("b", 1)])])
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with opened(path, read_only=True) as store:
        assert minutes(store) == {("a", 0): (1, 10)}
    with opened(path) as store:
        assert minutes(store) == {("a", 0): (1, 10)}


def test_killed_while_folding_nothing_of_it_happened(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    events = [Event(f"a{n % 5}", n * 30) for n in range(40)]
    with opened(path) as store, store.transaction() as tx:
        apply_deltas(tx, [delta(n, n + 1, [event], committed=n) for n, event in enumerate(events)])
    code = """
    with opened(Path(sys.argv[1])) as store:
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(days=1))
    """
    done = child(code, path, environ={"STILLWATCH_FAULT": "serve.folding"})
    assert done.returncode == -signal.SIGKILL, done.stderr
    with opened(path) as store:
        before = minutes(store)
        assert sum(events for events, _ in before.values()) == 40
        assert rows(store, "select count(*) from pane") == [(0,)]
        assert rows(store, "select folded_to from partition_state") == [(0,)]
        with store.transaction() as tx:
            assert fold(tx, watermark=START + timedelta(days=1)).rows > 0
        assert minutes(store) == before


@pytest.mark.parametrize(
    "text",
    [
        "Out of Memory Error: could not allocate block of size 16.0 KiB (98.8 MiB/96.0 MiB used)",
        "TransactionContext Error: Failed to commit: failed to pin block of size 256.0 KiB (97.7 MiB/96.0 MiB used)",
        "TransactionContext Error: Failed to commit: could not allocate block of size 4.0 KiB (96.0 MiB/96.0 MiB used)",
    ],
)
def test_short_memory_is_told_as_such_whatever_duckdb_was_doing(text: str) -> None:
    assert "out of memory" in explained(duckdb.Error(text), None).message


def test_a_failure_that_duckdb_keeps_to_itself_is_the_stores_and_nothing_is_kept() -> None:
    """As ``unregister`` does when there is no memory for its DROP VIEW: the next statement finds all aborted."""
    with Store.open(None, SETTINGS, clock=ManualClock(START)) as store:

        def fail() -> None:
            with store.transaction() as tx:
                tx.execute("insert into corpus_mark values ('a', 1, 'text', 'x')")
                with suppress(duckdb.Error):
                    tx.execute("select error('not told')")
                tx.insert("corpus_mark", pl.DataFrame({"corpus": "b", "item": 2, "kind": "text", "thing_id": "y"}))

        with pytest.raises(StoreError, match="out of memory"):
            fail()
        with store.transaction() as tx:
            assert tx.frame("select * from corpus_mark").height == 0


def test_nobody_looks_for_pandas_at_each_value_that_is_bound() -> None:
    """DuckDB does so where it is not installed; a look through the whole path for it costs a thousand times a value."""
    looked: list[str] = []

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            looked.append(name)

    with Store.open(None, SETTINGS, clock=ManualClock(START)) as store:
        sys.meta_path.insert(0, Finder())
        try:
            ids = [f"acct_{number}" for number in range(1000)]
            assert store.connection.execute("select len($ids::varchar[])", {"ids": ids}).fetchone() == (1000,)
        finally:
            sys.meta_path.pop(0)
    assert looked.count("pandas") <= 1
