"""A delta counts once: applied twice, rewritten after a restart, or sent by a zombie."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.errors import Hole
from pipeline.fingerprint.schema import Delta
from pipeline.store import Applied, Store, apply_deltas, fold
from tests.store.made import START, Event, delta, memory_store, minutes, rows

A, B, C = Event("a", 1), Event("b", 61), Event("a", 125)


def apply(store: Store, *deltas: Delta) -> Applied:
    with store.transaction() as tx:
        return apply_deltas(tx, deltas)


def test_what_is_applied_is_seen_at_every_level() -> None:
    with memory_store() as store:
        applied = apply(store, delta(0, 2, [A, B]), delta(2, 3, [C]))
        assert (applied.applied, applied.events, applied.holes, applied.refused) == (2, 3, [], [])
        assert applied.changed == {START + timedelta(minutes=minute) for minute in (0, 1, 2)}
        assert applied.changed_since == START
        assert minutes(store) == {("a", 0): (1, 10), ("b", 1): (1, 10), ("a", 2): (1, 10)}
        for view in ("fingerprints_1h", "fingerprints_1d"):
            assert rows(store, f"select entity_id, events from {view} where kind = 'account' order by 1") == [
                ("a", 2),
                ("b", 1),
            ]
        assert rows(store, "select account_id, events, output_tokens from accounts order by 1") == [
            ("a", 2, 20),
            ("b", 1, 10),
        ]
        assert rows(store, "select api_key_id, account_id, accounts, events from api_keys order by 1") == [
            ("key-a", "a", 1, 2),
            ("key-b", "b", 1, 1),
        ]


def test_a_delta_applied_twice_changes_nothing() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A]), delta(1, 2, [B]))
        before = minutes(store)
        again = apply(store, delta(1, 2, [B]))
        assert (again.applied, again.holes) == (1, [])
        assert minutes(store) == before
        assert rows(store, "select sum(events) from delta_log") == [(2,)]


def test_a_restarted_worker_rewrites_the_tail_with_other_boundaries() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A]), delta(1, 2, [B]), delta(2, 3, [C]))
        rewritten = apply(store, delta(1, 3, [B, C], generation=2))
        assert minutes(store) == {("a", 0): (1, 10), ("b", 1): (1, 10), ("a", 2): (1, 10)}
        assert rows(store, "select from_offset, to_offset from delta_log order by 1") == [(0, 1), (1, 3)]
        assert START + timedelta(minutes=1) in rewritten.changed


def test_a_rewrite_within_one_batch_leaves_the_last_version() -> None:
    with memory_store() as store:
        applied = apply(store, delta(0, 1, [A]), delta(1, 2, [Event("wrong", 5)]), delta(1, 3, [B, C], generation=2))
        assert applied.applied == 2
        assert minutes(store) == {("a", 0): (1, 10), ("b", 1): (1, 10), ("a", 2): (1, 10)}


def test_panes_that_a_rewrite_takes_away_are_changed_too() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A]), delta(1, 2, [C]))
        applied = apply(store, delta(1, 2, [B], generation=2))
        assert applied.changed == {START + timedelta(minutes=1), START + timedelta(minutes=2)}


def test_a_zombie_is_refused() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A], generation=5))
        applied = apply(store, delta(1, 2, [B], generation=4), delta(1, 2, [C], generation=5))
        assert [(item.reason, item.delta.generation) for item in applied.refused] == [("zombie", 4)]
        assert ("b", 1) not in minutes(store)


def test_partitions_do_not_touch_each_other() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A]), delta(0, 1, [B], partition=1, generation=9))
        apply(store, delta(0, 1, [C], partition=1, generation=9))
        assert minutes(store) == {("a", 0): (1, 10), ("a", 2): (1, 10)}


def test_a_hole_is_recorded_and_what_follows_counts() -> None:
    with memory_store() as store:
        applied = apply(store, delta(0, 1, [A]), delta(4, 5, [B]))
        assert applied.holes == [Hole(0, 1, 4)]
        assert len(minutes(store)) == 2
        assert rows(store, "select holes, missing_offsets from pipeline_health") == [(1, 3)]
        apply(store, delta(1, 5, [B, C], generation=2))
        assert rows(store, "select holes, missing_offsets from pipeline_health") == [(0, 0)]


def test_heartbeats_only_tell_how_the_partition_stands() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A]))
        applied = apply(store, delta(1, 1, committed=1, watermark_s=30, idle=True))
        assert applied.applied == 0
        assert applied.words[0].idle
        assert applied.words[0].watermark == START + timedelta(seconds=30)
        assert rows(store, "select applied_to, committed, idle from partition_state") == [(1, 1, True)]


def test_what_is_folded_is_never_rewritten() -> None:
    with memory_store() as store:
        apply(store, delta(0, 1, [A], committed=1), delta(1, 2, [B], committed=1))
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(hours=1))
        before = minutes(store)
        applied = apply(
            store, delta(0, 1, [C], generation=2), delta(0, 2, [C], generation=2), delta(1, 2, [B], generation=2)
        )
        assert [item.reason for item in applied.refused] == ["folded", "overlaps_folded"]
        assert minutes(store) == before


def test_a_delta_that_begins_inside_another_is_refused() -> None:
    with memory_store() as store:
        apply(store, delta(0, 4, [A]))
        assert [item.reason for item in apply(store, delta(2, 6, [B], generation=2)).refused] == ["overlaps"]
        inside = apply(store, delta(0, 4, [A], generation=2), delta(1, 2, [B], generation=2))
        assert [item.reason for item in inside.refused] == ["overlaps"]
        assert minutes(store) == {("a", 0): (1, 10)}


def test_a_transaction_that_fails_leaves_nothing() -> None:
    def fails(store: Store) -> None:
        with store.transaction() as tx:
            apply_deltas(tx, [delta(0, 1, [A])])
            raise KeyError

    with memory_store() as store:
        with pytest.raises(KeyError):
            fails(store)
        assert minutes(store) == {}
        assert rows(store, "select count(*) from partition_state") == [(0,)]
        apply(store, delta(0, 1, [A]))
        assert minutes(store) == {("a", 0): (1, 10)}


def test_absurd_squares_stop_at_the_end_of_the_range() -> None:
    with memory_store() as store:
        one = delta(0, 1, [A])
        big = one.panes.with_columns(output_tokens_sq=2**62)
        deltas = [
            Delta(0, 1, n, n + 1, n + 1, None, False, START, 1, 0, 0, big, one.links, one.distributions, one.loops)
            for n in range(4)
        ]
        apply(store, *deltas)
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(hours=1))
        assert rows(store, "select distinct output_tokens_sq from fingerprints_1d") == [(2**63 - 1,)]
