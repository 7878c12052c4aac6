"""The shipped SQL: saved questions run in the sandbox, functions agree with the worker's, the reference is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.saved import SavedQuery, saved_queries
from pipeline.events.cues import KINDS
from pipeline.fingerprint.distributions import spread, squared_distance
from pipeline.fingerprint.schema import SUMS, TALLY_REQUEST_KIND
from pipeline.fingerprint.sketch import sketch_distinct, tally_counts, tally_quantile
from pipeline.simulate.texts import built_in_texts
from pipeline.store import Store, apply_accounts, apply_dead_letters, apply_deltas
from pipeline.store.query import run_query
from pipeline.testing import Bench
from tests.store.made import Event, delta, memory_store, rows
from tests.store.test_inputs import letters

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store() -> Store:
    made = memory_store()
    with made.transaction() as tx:
        events = [Event(f"a{n % 9}", n * 0.5, tokens=n % 300) for n in range(2000)]
        apply_deltas(tx, [delta(0, 9, events, duplicates=3)])
        apply_accounts(tx, [{"account_id": f"a{n}", "created_at": "2026-01-05T11:00:00Z"} for n in range(9)])
        apply_dead_letters(tx, letters(1, 2))
    return made


@pytest.mark.parametrize("query", saved_queries(), ids=lambda query: query.name)
def test_saved_queries_answer(store: Store, query: SavedQuery) -> None:
    assert query.question.endswith("?")
    found = run_query(store, query.sql, params=query.defaults, timeout_s=20, max_rows=1000).table
    # One network, one client and one kind of prompts for all; no known set; all are told the same.
    expected_empty = {
        "keys_from_many_networks",
        "rare_shared_clients",
        "prompts_distributed_alike",
        "known_sets_covered",
        "who_feeds_outputs_back",
    }
    assert (found.num_rows == 0) == (query.name in expected_empty)


def test_saved_queries_take_parameters(store: Store) -> None:
    by_name = {query.name: query for query in saved_queries()}
    one = by_name["account_by_hour"]
    answered = run_query(store, one.sql, params={**one.defaults, "account": "a3"}, timeout_s=20, max_rows=1000).table
    assert set(answered.column("account_id").to_pylist()) == {"a3"}
    keys = by_name["keys_from_many_networks"]
    assert run_query(store, keys.sql, params={**keys.defaults, "networks": 1}, timeout_s=20, max_rows=99).table.num_rows


def test_an_empty_store_answers_them_too() -> None:
    with memory_store() as empty:
        for query in saved_queries():
            run_query(empty, query.sql, params=query.defaults, timeout_s=20, max_rows=10)


def test_functions_agree_with_the_workers(store: Store) -> None:
    found = rows(
        store,
        "select tally, prompt_sketch, tally_quantile(tally, 2, 0.5), tally_quantile(tally, 3, 0.99),"
        " tally_quantile(tally, 4, 0.5), sketch_distinct(prompt_sketch), tally_counts(tally, 1)"
        " from fingerprints_1h where kind = 'account'",
    )
    assert len(found) == 9
    for tally, sketch, median, high, language, distinct, counts in found:
        assert median == pytest.approx(tally_quantile(tally, 2, 0.5))
        assert high == pytest.approx(tally_quantile(tally, 3, 0.99))
        assert language is None
        assert distinct == pytest.approx(sketch_distinct(sketch))
        assert {entry["bucket"]: entry["count"] for entry in counts} == tally_counts(tally, 1)


@pytest.mark.parametrize(
    ("network", "place"),
    [
        ("203.0.113.0/24", "203.0"),
        ("2001:db8:1::/48", "2001:db8"),
        ("fd00::/48", "fd00:"),
        ("AS64500", "AS64500"),
        ("a pseudonym", "a pseudonym"),
    ],
)
def test_a_place_is_wider_than_a_network(store: Store, network: str, place: str) -> None:
    assert rows(store, f"select network_place('{network}')") == [(place,)]


def test_distances_agree_with_the_workers(store: Store) -> None:
    found = rows(
        store,
        """
        select a.events, a.prompt_sum, b.events, b.prompt_sum,
            distribution_distance(a.prompt_sum, a.events, b.prompt_sum, b.events),
            distribution_spread(a.prompt_sum, a.events),
            distribution_error(a.prompt_sum, a.events, b.prompt_sum, b.events),
            distribution_errors_apart(
                list_dot_product(a.prompt_sum::double[], a.prompt_sum::double[]), a.events,
                list_dot_product(b.prompt_sum::double[], b.prompt_sum::double[]), b.events,
                list_dot_product(a.prompt_sum::double[], b.prompt_sum::double[])
            )
        from prompt_distributions as a, account_distributions('2026-01-05 12:00', '2026-01-05 13:00') as b
        where a.account_id < b.account_id
        """,
    )
    assert len(found) == 36
    for a_events, a_sum, b_events, b_sum, distance, varied, error, apart in found:
        assert distance == pytest.approx(squared_distance(a_sum, a_events, b_sum, b_events), abs=1e-9)
        assert varied == pytest.approx(spread(a_sum, a_events), abs=1e-9)
        assert 0 < error < varied / 100
        assert apart == pytest.approx(distance / error, abs=1e-6)


def test_what_is_of_one_set_alone_may_come_once_a_set(store: Store) -> None:
    product = "list_dot_product({0}.prompt_sum::double[], {1}.prompt_sum::double[])".format
    aa, ab, bb = product("a", "a"), product("a", "b"), product("b", "b")
    found = rows(
        store,
        f"""
        select
            1 - distribution_within({aa}, a.events) - distribution_spread(a.prompt_sum, a.events),
            distribution_errors_apart({aa}, a.events, {bb}, b.events, {ab}),
            distribution_errors_between(
                distribution_within({aa}, a.events), a.events, distribution_within({bb}, b.events), b.events, {ab}
            )
        from prompt_distributions as a, prompt_distributions as b
        where a.account_id < b.account_id
        """,
    )
    assert len(found) == 36
    for off, whole, parts in found:
        assert off == pytest.approx(0, abs=1e-9)
        assert parts == pytest.approx(whole, rel=1e-9)


def test_a_part_of_a_set_is_held_against_the_rest_by_products_alone(store: Store) -> None:
    found = rows(
        store,
        """
        with whole as (
            select sum(events)::double as events, distribution_sum(prompt_sum) as prompt_sum from prompt_distributions
        ),
        parted as (
            select
                part.events::double as events, part.prompt_sum, whole.events - part.events as left_events,
                distribution_without(whole.prompt_sum, part.prompt_sum) as rest,
                list_dot_product(part.prompt_sum::double[], part.prompt_sum::double[]) as pp,
                list_dot_product(whole.prompt_sum::double[], part.prompt_sum::double[]) as wp,
                list_dot_product(whole.prompt_sum::double[], whole.prompt_sum::double[]) as ww
            from prompt_distributions as part, whole
        )
        select
            distribution_errors_apart(pp, events, ww - 2 * wp + pp, left_events, wp - pp),
            distribution_distance(prompt_sum, events, rest, left_events)
            / distribution_error(prompt_sum, events, rest, left_events)
        from parted
        """,
    )
    assert len(found) == 9
    for fast, slow in found:
        assert fast == pytest.approx(slow, abs=1e-6)


def test_sums_of_sets_are_merged_and_of_one_prompt_there_is_no_distance(store: Store) -> None:
    [(events, merged)] = rows(store, "select sum(events), distribution_sum(prompt_sum) from prompt_distributions")
    each = rows(store, "select events, prompt_sum from prompt_distributions")
    assert events == sum(row[0] for row in each) == 2000
    [(rest,)] = rows(store, f"select distribution_without({merged}, {each[0][1]})")
    assert rest == [whole - part for whole, part in zip(merged, each[0][1], strict=True)]
    assert merged == [sum(place) for place in zip(*(row[1] for row in each), strict=True)]
    assert rows(store, "select distribution_sum(prompt_sum) from prompt_distributions where events < 0") == [(None,)]
    none = "distribution_distance([1], 1, [2], 5), distribution_error([1], 1, [2], 5)"
    assert rows(store, f"select {none}") == [(None, None)]
    assert rows(store, "select count(*) from account_distributions('2026-01-05 13:00', '2026-01-05 14:00')") == [(0,)]


def test_accounts_that_share_out_one_source_are_alike_without_a_prompt_in_common() -> None:
    pools = {kind: list(dict.fromkeys(texts)) for kind, texts in built_in_texts(1).pools.items()}
    query = next(query for query in saved_queries() if query.name == "prompts_distributed_alike")
    with Bench() as bench:
        for number in range(24):
            kind, who = ("document", f"shard{number}") if number < 4 else ("en", f"chat{number}")
            texts = pools[kind][number * 40 : number * 40 + 40]
            bench.add_events([{"account_id": who, "prompt": text} for text in texts])
        found = run_query(bench.store, query.sql, params=query.defaults, timeout_s=20, max_rows=99).table.to_pylist()
    assert {row["account_id"] for row in found} == {"shard0", "shard1", "shard2", "shard3"}
    assert all(row["alike_without_a_prompt_in_common"] >= 2 for row in found)
    assert all(set(row["some_of_them"]) < {"shard0", "shard1", "shard2", "shard3"} for row in found)


def test_kinds_of_requests_are_called_as_in_the_events(store: Store) -> None:
    found = rows(store, "select tally, request_kinds(tally) from fingerprints_1h where kind = 'account'")
    for tally, kinds in found:
        told = {KINDS[bucket]: count for bucket, count in tally_counts(tally, TALLY_REQUEST_KIND).items()}
        assert {entry["request_kind"]: entry["count"] for entry in kinds} == told
    assert {entry["request_kind"] for _, kinds in found for entry in kinds} == set(KINDS)


def test_who_asks_what_kind_adds_up(store: Store) -> None:
    query = next(query for query in saved_queries() if query.name == "who_asks_what_kind")
    found = run_query(store, query.sql, params={**query.defaults, "share": 0}, timeout_s=20, max_rows=99).table
    for row in found.to_pylist():
        other = sum(row[name] for name in KINDS[1:])
        assert row["share_not_ordinary"] == pytest.approx(other / row["requests_with_text"], abs=0.001)
    assert found.num_rows == 9


def test_every_sum_is_in_the_views(store: Store) -> None:
    for view in ("fingerprints_1m", "fingerprints_1h", "fingerprints_1d"):
        columns = [row[0] for row in rows(store, f"select column_name from (describe {view})")]
        assert set(SUMS) < set(columns)


@pytest.mark.parametrize("view", ["fingerprints_1m", "fingerprints_1h", "links", "prompt_distributions"])
def test_filters_reach_the_tables(store: Store, view: str) -> None:
    names = {"links": ("hour", "source_id"), "prompt_distributions": ("hour", "account_id")}
    time, entity = names.get(view, ("window_start", "entity_id"))
    plan = rows(
        store,
        f"explain select events from {view} where {entity} = 'a1' and {time} >= timestamptz '2026-01-05 12:00:00+00'",
    )[0][1]
    scans = len(re.findall("SEQ_SCAN|DUCKLAKE_SCAN", plan))
    assert scans
    assert "FILTER " not in plan  # an operator of its own, above the scans
    assert plan.replace("\n", "").replace(" ", "").count(f"{entity}='a1'") == scans


def test_the_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/gen_sql_docs.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run make docs"
