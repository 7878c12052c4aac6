"""Dead letters come once, facts add up, offsets are those of the transaction."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.events.schema import DEAD_LETTERS
from pipeline.store import (
    apply_accounts,
    apply_dead_letters,
    apply_deltas,
    new_epoch,
    next_offsets,
    set_offset,
    set_offsets,
    stored_epochs,
)
from pipeline.store.accounts import AccountsError
from tests.store.made import START, Event, delta, memory_store, minutes, rows


def letters(*offsets: int, item: int = -1, reason: str = "invalid_json") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "source_topic": "api.requests",
                "source_partition": 0,
                "source_offset": offset,
                "item": item,
                "reason": reason,
                "payload": b"{",
                "payload_bytes": 1,
                "seen_at": START,
            }
            for offset in offsets
        ],
        schema=DEAD_LETTERS,
    )


def test_a_dead_letter_handed_in_twice_is_there_once() -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            assert apply_dead_letters(tx, letters(1, 2, 2)) == 2
            assert apply_dead_letters(tx, letters(2, 3)) == 1
            assert apply_dead_letters(tx, letters(3, item=4)) == 1
            assert apply_dead_letters(tx, DEAD_LETTERS.to_frame()) == 0
        assert rows(store, "select source_offset, item from dead_letters order by all") == [
            (1, -1),
            (2, -1),
            (3, -1),
            (3, 4),
        ]


def test_dead_letters_without_a_place_are_kept_all() -> None:
    with memory_store() as store, store.transaction() as tx:
        nowhere = letters(1).with_columns(pl.lit(None, pl.Int64).alias("source_offset"))
        assert apply_dead_letters(tx, nowhere) + apply_dead_letters(tx, nowhere) == 2


def test_offsets_are_those_of_the_last_transaction_that_held() -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            set_offsets(tx, {("a", 0): 5, ("a", 1): 7, ("b", 0): 1}, "one")
        with store.transaction() as tx:
            set_offset(tx, "a", 1, 9, "one")
        assert next_offsets(store.connection, "a") == {0: 5, 1: 9}
        assert next_offsets(store.connection, "c") == {}
        assert stored_epochs(store.connection) == {"one"}


def test_a_new_epoch_makes_everything_final() -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 5, [Event("a", 1)], generation=9)])
            apply_dead_letters(tx, letters(1))
            set_offsets(tx, {("a", 0): 5, ("b", 0): 1}, "one")
        with store.transaction() as tx:
            new_epoch(tx)
            assert next_offsets(tx, "a") == {}
            apply_deltas(tx, [delta(0, 2, [Event("a", 2)], generation=1)])
            assert apply_dead_letters(tx, letters(1)) == 1
        assert minutes(store) == {("a", 0): (2, 20)}
        assert rows(store, "select sum(events) from pipeline_health") == [(2,)]


def test_facts_add_up_and_empty_text_takes_them_away() -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            assert (
                apply_accounts(tx, [{"account_id": "a", "plan": "free", "quota": 5}, {"account_id": "b"}]).accounts == 2
            )
            apply_accounts(tx, [{"account_id": "a", "cleared_reason": "known customer"}])
            apply_accounts(tx, [{"account_id": "a", "plan": "pro", "extra": 1}, {"account_id": "a", "quota": 7}])
        facts = "select plan, quota, cleared_reason, first_seen, events from accounts where account_id = 'a'"
        assert rows(store, facts) == [("pro", 7, "known customer", None, 0)]
        with store.transaction() as tx:
            apply_accounts(tx, pl.DataFrame({"account_id": ["a"], "cleared_reason": [""], "created_at": [START]}))
        assert rows(store, facts) == [("pro", 7, None, None, 0)]
        assert rows(store, "select created_at from accounts where account_id = 'a'") == [(START,)]


def test_facts_that_cannot_be_used_stop_the_import() -> None:
    with memory_store() as store:
        with pytest.raises(AccountsError, match="row 2"), store.transaction() as tx:
            apply_accounts(tx, [{"account_id": "a"}, {"account_id": "b", "quota": -1}])
        assert rows(store, "select count(*) from account_fact") == [(0,)]


def test_times_of_facts_are_told_apart() -> None:
    with memory_store() as store:
        values = ["2026-01-05", "2026-01-05T00:00:00Z", "2026-01-05T01:00:00+01:00", 1767571200, 1767571200000]
        with store.transaction() as tx:
            apply_accounts(tx, [{"account_id": str(n), "created_at": value} for n, value in enumerate(values)])
        assert rows(store, "select distinct created_at from account_fact") == [(datetime(2026, 1, 5, tzinfo=UTC),)]
