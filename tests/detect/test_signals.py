"""What a look found is stored as it differs from what stood there; who is judged anew follows from that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import RuleSettings
from pipeline.detect.signals import store_signals
from pipeline.rules import load_rules
from pipeline.rules.model import Window
from pipeline.rules.run import RESULT
from pipeline.testing import START, Bench

RULE = load_rules(RuleSettings()).rules["shared_prompt"]
OTHER = load_rules(RuleSettings()).rules["shared_client"]
WINDOW = Window(START - timedelta(days=2), START, START)
BEFORE = Window(START - timedelta(days=3), START - timedelta(days=1), START - timedelta(days=1))

# account, thing → strength in tenths
Found = dict[tuple[str, str], int]
founds = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 3), max_size=6)


def frame(found: Found) -> pl.DataFrame:
    rows = [
        {
            "dimension": "account",
            "entity_id": account,
            "account_id": account,
            "group_key": f"template:{thing}",
            "strength": tenths / 10,
            "reason": "because",
            "group_reason": None if tenths == 1 else "they all do",
            "first_seen": START,
            "last_seen": START,
        }
        for (account, thing), tenths in found.items()
    ]
    return pl.DataFrame(rows, schema=RESULT)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


def stood(bench: Bench) -> dict[tuple[object, ...], int]:
    """Each signal as it stands, and the number of its row."""
    rows = bench.store.connection.execute(
        "select rule_id, window_end, account_id, split_part(group_key, ':', 2), strength, rowid from signal"
    ).fetchall()
    return {row[:5]: row[5] for row in rows}


def expected(found: Found) -> set[tuple[object, ...]]:
    return {(RULE.rule_id, WINDOW.end, account, thing, tenths / 10) for (account, thing), tenths in found.items()}


@settings(deadline=None, max_examples=40)
@given(st.lists(founds, min_size=1, max_size=5))
def test_what_stands_is_the_last_look_and_who_is_told_is_who_changed(bench: Bench, looks: list[Found]) -> None:
    with bench.store.transaction() as tx:
        tx.execute("delete from signal")
        for rule, window in ((OTHER, WINDOW), (RULE, BEFORE)):
            store_signals(tx, rule, window, frame({("a", "x"): 1}))
    beside = stood(bench)
    last: Found = {}
    for found in looks:
        before = stood(bench)
        with bench.store.transaction() as tx:
            changed = store_signals(tx, RULE, WINDOW, frame(found))
        after = stood(bench)
        assert set(after) - set(beside) == expected(found)
        assert changed == {account for account, _ in {key for key, _ in set(found.items()) ^ set(last.items())}}
        for key in set(before) & set(after):
            if key[2] not in changed:
                assert before[key] == after[key]  # not even written again
        assert {key: after[key] for key in beside} == beside
        last = found
