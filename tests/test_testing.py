"""The public testing module runs the cases of every shipped rule through the real decoder and store."""

from __future__ import annotations

import pytest

pytest.importorskip("pipeline.events.decode", reason="the decoder has not landed")
pytest.importorskip("pipeline.store", reason="the store has not landed")

from pipeline.resources import sql_dir
from pipeline.testing import Bench, failures, run_rule_cases


def test_every_shipped_rule_passes_its_own_cases() -> None:
    results = run_rule_cases(sql_dir("rules"))
    assert len(results) >= 12
    assert failures(results) == ""


def test_a_bench_counts_what_it_is_given() -> None:
    with Bench() as bench:
        bench.add_events([{"account_id": "a"}, {"account_id": "b"}, {"account_id": "a"}])
        counted = bench.sql(
            "select entity_id, sum(events) as n from fingerprints_1m where kind = 'account' group by all"
        )
        assert dict(counted.sort("entity_id").iter_rows()) == {"a": 2, "b": 1}
