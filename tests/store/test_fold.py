"""Folding, merging and retention change where rows are and nothing that is seen."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.config import StoreSettings
from pipeline.store import Store, Transaction, apply_deltas, fold
from pipeline.store.compact import compact
from pipeline.store.fold import Folder
from pipeline.store.retention import expire
from pipeline.store.upkeep import CHECKPOINT_BACKLOG_BYTES, CHECKPOINT_LOG_BYTES, Upkeep
from pipeline.store.verify import _CHECKS
from tests.store.made import START, Event, delta, memory_store, rows

SEEN = (
    *("fingerprints_1m", "fingerprints_1h", "fingerprints_1d", "links", "links_1d", "prompt_distributions"),
    *("accounts", "api_keys"),
)
LATER = START + timedelta(hours=30)


def seen(store: Store) -> dict[str, pl.DataFrame]:
    """All that the views show, in one order; averages are left out, whose last digit depends on the order of adding."""
    found = {}
    for view in SEEN:
        frame = store.connection.execute(f"select * from {view}").pl().drop("in_flight", strict=False)
        found[view] = frame.sort([name for name, dtype in frame.schema.items() if not dtype.is_nested()])
    return found


def problems(store: Store) -> list[str]:
    return [str(row[0]) for check in _CHECKS for row in rows(store, check)]


def same(before: dict[str, pl.DataFrame], after: dict[str, pl.DataFrame]) -> None:
    for view, frame in before.items():
        assert frame.equals(after[view]), view


def filled(store: Store, count: int = 40) -> None:
    """Deltas over an hour and a half; the last is not committed."""
    with store.transaction() as tx:
        apply_deltas(
            tx,
            [
                delta(n, n + 1, [Event(f"a{n % 3}", n * 150 + k, tokens=n + k) for k in range(4)], committed=n)
                for n in range(count)
            ],
        )


def left(store: Store) -> int:
    [(count,)] = rows(store, "select count(*) from pane_delta")
    return int(count)


def test_folding_changes_nothing_that_is_seen() -> None:
    with memory_store() as store:
        filled(store)
        before = seen(store)
        with store.transaction() as tx:
            assert fold(tx, watermark=LATER).rows > 100
        same(before, seen(store))
        assert rows(store, "select count(*), min(from_offset) from pane_delta") != [(0, None)]  # the uncommitted one
        assert rows(store, "select from_offset, to_offset, events from delta_log order by 1") == [
            (0, 39, 156),
            (39, 40, 4),
        ]
        assert problems(store) == []


def test_only_panes_that_are_over_move() -> None:
    with memory_store() as store:
        filled(store)
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(seconds=20 * 150))
        [(newest_final,)] = rows(store, "select max(window_start) from pane")
        [(oldest_open,)] = rows(store, "select min(pane) from pane_delta")
        assert newest_final < START + timedelta(seconds=20 * 150) <= oldest_open
        with store.transaction() as tx:
            assert fold(tx, watermark=None).rows == 0


def test_in_turns_it_comes_to_the_same() -> None:
    with memory_store() as whole, memory_store() as turns:
        for store in (whole, turns):
            filled(store)
        with whole.transaction() as tx:
            fold(tx, watermark=LATER)
        folder, count, more = Folder(chunk_rows=20), 0, True
        while more:
            with turns.transaction() as tx:
                more = folder.turn(tx, LATER).more
            count += 1
        assert count > 3
        same(seen(whole), seen(turns))
        assert left(turns) == left(whole)
        assert problems(turns) == []


def test_too_many_rows_fold_without_a_watermark_but_never_what_is_not_committed() -> None:
    with memory_store() as store:
        filled(store)
        with store.transaction() as tx:
            Folder(max_unfolded_rows=10).turn(tx, None)
        assert rows(store, "select folded_to from partition_state") == [(39,)]
        assert rows(store, "select min(from_offset) from pane_delta") == [(39,)]


def test_rows_added_one_after_another_are_merged_when_their_window_doubled() -> None:
    with memory_store() as store:
        for n in range(40):
            with store.transaction() as tx:
                apply_deltas(tx, [delta(n, n + 1, [Event("a", n * 60)], committed=n + 1)])
                fold(tx, watermark=START + timedelta(seconds=n * 60 + 60))
        before = seen(store)
        [(many,)] = rows(store, "select count(*) from hour where kind = 'account'")
        assert many == 40
        gone = 0
        while True:
            with store.transaction() as tx:
                merged = compact(tx, START, min_added=1)
            if merged is None:
                break
            gone += merged
        assert gone > 0
        same(before, seen(store))
        assert rows(store, "select count(*) from hour where kind = 'account'") == [(1,)]
        assert rows(store, "select count(*) from account_seen") == [(1,)]
        assert rows(store, "select count(*) from distribution_hour") == [(1,)]
        assert rows(store, "select count(*) = count(distinct (output, passage)) from loop_hour") == [(True,)]
        assert rows(store, "select sum(added) from window_rows") == [(0,)]
        assert problems(store) == []


def test_a_closed_window_is_merged_however_few_rows_it_got() -> None:
    with memory_store() as store:
        for n in range(2):
            with store.transaction() as tx:
                apply_deltas(tx, [delta(n, n + 1, [Event("a", n)], committed=n + 1)])
                fold(tx, watermark=START + timedelta(minutes=5))
        with store.transaction() as tx:
            assert compact(tx, START + timedelta(minutes=30)) is None
        with store.transaction() as tx:
            assert compact(tx, START + timedelta(hours=3)) is not None


def test_retention_counts_from_the_end_of_a_window_or_its_last_row() -> None:
    clock = ManualClock(START + timedelta(days=30))  # a replay of last month
    settings = StoreSettings(retention_panes_h=48, retention_hours_d=90, retention_days_d=400)
    with memory_store(clock, settings) as store:
        filled(store)
        with store.transaction() as tx:
            fold(tx, watermark=LATER)
            assert expire(tx, settings).rows == 0
        clock.advance(49 * 3600)
        with store.transaction() as tx:
            assert expire(tx, settings).rows > 0
        assert rows(store, "select count(*) from pane") == [(0,)]
        assert rows(store, "select count(*) from loop_hour") == [(0,)]
        assert rows(store, "select count(*) > 0 from hour") == [(True,)]
        assert problems(store) == []
        clock.advance(90 * 86_400)
        with store.transaction() as tx:
            expire(tx, settings)
        for table in ("hour", "link_hour", "distribution_hour"):
            assert rows(store, f"select count(*) from {table}") == [(0,)]
        assert rows(store, "select count(*) > 0 from day") == [(True,)]
        assert problems(store) == []
        clock.advance(400 * 86_400)
        with store.transaction() as tx:
            expire(tx, settings)
        assert rows(store, "select count(*) from day") == [(0,)]
        assert rows(store, "select sum(events) from accounts") == [(160,)]
        assert rows(store, "select count(*) from window_rows where level <> 'account_seen'") == [(0,)]


def test_retention_in_pieces_says_that_there_is_more() -> None:
    clock = ManualClock(START + timedelta(days=3))
    with memory_store(clock) as store:
        filled(store)
        with store.transaction() as tx:
            fold(tx, watermark=LATER)
        clock.advance(49 * 3600)
        turns = 0
        more = True
        while more:
            with store.transaction() as tx:
                more = expire(tx, store.settings, windows=10).more
            turns += 1
        assert turns == 4
        assert rows(store, "select count(*) from pane") == [(0,)]


def test_the_log_may_grow_larger_while_a_backlog_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_store(ManualClock()) as store:
        upkeep = Upkeep(store)
        monkeypatch.setattr(Store, "log_bytes", lambda _: CHECKPOINT_LOG_BYTES + 1)
        assert upkeep.turn(None, backlog=True) != "checkpointed"
        assert upkeep.turn(None) == "checkpointed"
        monkeypatch.setattr(Store, "log_bytes", lambda _: CHECKPOINT_BACKLOG_BYTES + 1)
        assert upkeep.turn(None, backlog=True) == "checkpointed"


def test_upkeep_does_a_piece_at_a_time_and_rests() -> None:
    clock = ManualClock(START)
    with memory_store(clock) as store:
        upkeep = Upkeep(store, Folder(chunk_rows=50))
        assert upkeep.turn(None) is None
        filled(store)
        before = seen(store)
        assert upkeep.turn(LATER) is None  # it looked a moment ago
        clock.advance(11)
        done = [upkeep.turn(LATER) for _ in range(40)]
        assert done.count("folded") >= 3
        assert done[-1] is None
        same(before, seen(store))
        clock.advance(61)
        assert "checkpointed" in [upkeep.turn(LATER) for _ in range(10)]


def test_a_wall_clock_set_years_ahead_deletes_nothing_before_a_person_could_set_it_back() -> None:
    clock = ManualClock(START)
    with memory_store(clock) as store:
        filled(store)
        with store.transaction() as tx:
            fold(tx, watermark=LATER)
        before = seen(store)
        upkeep = Upkeep(store)
        while upkeep.turn(LATER):
            pass
        clock.step_wall(10 * 365 * 86_400)
        for _ in range(20):  # for most of the day
            clock.advance(4000)
            assert "expired" not in [upkeep.turn(LATER) for _ in range(5)]
        clock.step_wall(-10 * 365 * 86_400)
        assert "expired" not in [upkeep.turn(LATER) for _ in range(5)]
        same(before, seen(store))
        clock.advance(3 * 86_400)  # time that really passes does count
        assert "expired" in [upkeep.turn(LATER) for _ in range(5)]


def test_retention_deletes_no_finding_alert_or_decision() -> None:
    tables = ("signal", "finding", "campaign", "campaign_member", "alert", "alert_event", "outbox", "decision")
    clock = ManualClock(START)
    with memory_store(clock) as store:
        filled(store)
        with store.transaction() as tx:
            fold(tx, watermark=LATER)
            for table in tables:
                _a_row(tx, table)
        clock.advance(4000 * 86_400)
        with store.transaction() as tx:
            assert expire(tx, store.settings).rows > 0
        for table in tables:
            assert rows(store, f"select count(*) from {table}") == [(1,)], table


def _a_row(tx: Transaction, table: str) -> None:
    """One row with a value of its type in each column, from long ago."""
    values = {
        "VARCHAR": "'x'",
        "BOOLEAN": "true",
        "VARCHAR[]": "['x']",
        "TIMESTAMP WITH TIME ZONE": "'2020-01-01 00:00:00+00'",
    }
    columns = tx.execute(f"select column_type from (describe {table})").fetchall()
    tx.execute(f"insert into {table} values ({', '.join(values.get(kind, '1') for (kind,) in columns)})")
