"""A backup is consistent while the store is written, is checked, and comes back as it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.clock import ManualClock
from pipeline.errors import InputNotFoundError, StoreError, StoreVersionError
from pipeline.store import Store, apply_accounts, apply_deltas, fold, set_offset
from pipeline.store.backup import MANIFEST, backup, restore, verify
from pipeline.store.migrate import migrations
from tests.store.made import SETTINGS, START, Event, delta, memory_store, minutes, rows
from tests.store.test_open import child, opened


def fill(store: Store, begin: int, end: int) -> None:
    with store.transaction() as tx:
        apply_deltas(tx, [delta(n, n + 1, [Event(f"a{n % 3}", n * 60)], committed=n) for n in range(begin, end)])
        set_offset(tx, "t", 0, end, "e")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = opened(tmp_path / "s.duckdb")
    fill(made, 0, 30)
    with made.transaction() as tx:
        apply_accounts(tx, [{"account_id": "a0", "plan": "it's"}])
        fold(tx, watermark=START + timedelta(minutes=20))
    return made


def test_there_and_back(store: Store, tmp_path: Path) -> None:
    target, again = tmp_path / "back up's", tmp_path / "again.duckdb"
    with store:
        with store.reader() as reader:  # holds an old state: the log cannot be emptied
            reader.execute("begin transaction read only")
            reader.execute("select count(*) from pane").fetchall()
            fill(store, 30, 40)
            manifest = backup(store, target)
        expected = minutes(store)
        fill(store, 40, 50)  # it goes on, and its lock still keeps others out
        done = child("try: opened(Path(sys.argv[1]))\nexcept StoreLockedError: print('locked')", tmp_path / "s.duckdb")
        assert done.stdout.strip() == "locked", done.stderr
    assert manifest.created_at == START
    assert str(verify(target, SETTINGS)).startswith(str(target))
    assert verify(target, SETTINGS).events == 40
    restore(target, again)
    assert verify(again, SETTINGS).events == 40
    with opened(again, read_only=True) as back:
        assert minutes(back) == expected
    with opened(again) as back:
        assert minutes(back) == expected
        assert rows(back, "select plan from accounts where account_id = 'a0'") == [("it's",)]
        assert rows(back, "select next_offset, epoch from consumer_offset") == [(40, "e")]
        fill(back, 40, 50)
        assert sum(count for count, _ in minutes(back).values()) == 50
    assert sorted(item.name for item in tmp_path.iterdir()) == ["again.duckdb", "back up's", "s.duckdb"]


def test_nothing_is_overwritten(store: Store, tmp_path: Path) -> None:
    with store:
        backup(store, tmp_path / "b")
        with pytest.raises(StoreError, match="there already"):
            backup(store, tmp_path / "b")
        with pytest.raises(StoreError, match="there already"):
            restore(tmp_path / "b", tmp_path / "s.duckdb")
    with memory_store() as volatile, pytest.raises(StoreError, match="in memory"):
        backup(volatile, tmp_path / "c")


def test_a_damaged_backup_is_refused(store: Store, tmp_path: Path) -> None:
    with store:
        backup(store, tmp_path / "b")
    file = tmp_path / "b" / "store.duckdb"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    for refuse in (lambda: verify(tmp_path / "b", SETTINGS), lambda: restore(tmp_path / "b", tmp_path / "new.duckdb")):
        with pytest.raises(StoreError, match="damaged since"):
            refuse()
    assert not (tmp_path / "new.duckdb").exists()
    (tmp_path / "b" / MANIFEST).write_bytes(b"{")
    with pytest.raises(StoreError, match="damaged"):
        verify(tmp_path / "b", SETTINGS)
    with pytest.raises(InputNotFoundError):
        verify(tmp_path / "nowhere", SETTINGS)


def test_a_backup_of_a_newer_version_is_refused(store: Store, tmp_path: Path) -> None:
    with store:
        backup(store, tmp_path / "b")
    manifest = tmp_path / "b" / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"store_version": {len(migrations())}', '"store_version": 99'))
    with pytest.raises(StoreVersionError, match="99"):
        restore(tmp_path / "b", tmp_path / "new.duckdb")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            "delete from pane_delta where kind = 'account' and from_offset = 25",
            "30 events in the deltas, 29 in the panes",
        ),
        ("delete from hour where kind = 'client'", "events by minute, 0 by hour"),
        ("update delta_log set from_offset = from_offset - 1 where from_offset = 25", "deltas overlap at offset 24"),
        ("delete from delta_log where from_offset = 25", "rows of no delta, at offset 25"),
        ("delete from link_day where target_kind = 'model'", "links to model"),
        ("update distribution_delta set from_offset = 99 where from_offset = 25", "distributions, .* at offset 99"),
        ("insert into distribution_hour select * from distribution_hour", "prompts, .* events"),
        ("update loop_delta set from_offset = 99 where from_offset = 25", "passages, .* at offset 99"),
        ("insert into loop_hour select * from loop_hour", "passages of .* one in .* events"),
        ("update distribution_hour set events = 0", "sums that no 0 prompts have"),
    ],
)
def test_what_does_not_add_up_is_named(store: Store, tmp_path: Path, harm: str, said: str) -> None:
    store.close()
    path = tmp_path / "s.duckdb"
    assert verify(path, SETTINGS).events == 30
    with duckdb.connect(str(path)) as connection:
        connection.execute(harm)
    with pytest.raises(StoreError, match=said):
        verify(path, SETTINGS)


def test_an_empty_store_is_good(tmp_path: Path) -> None:
    Store.open(tmp_path / "s.duckdb", SETTINGS, clock=ManualClock(START)).close()
    assert "good" in str(verify(tmp_path / "s.duckdb", SETTINGS))
