"""The public testing module runs the cases of rules through the real decoder and store."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.resources import sql_dir
from pipeline.testing import Bench, failures, run_rule_cases


def test_a_directory_of_rules_passes_its_own_cases(tmp_path: Path) -> None:
    """As users test theirs; that every shipped rule passes its own, tests/rules/test_mutants.py looks at."""
    for rule_id in ("shared_client", "full_speed_new_account"):
        for ending in ("sql", "yml"):
            shutil.copy(sql_dir("rules") / f"{rule_id}.{ending}", tmp_path)
    results = run_rule_cases(tmp_path)
    assert len(results) >= 6
    assert failures(results) == ""


def test_a_bench_counts_what_it_is_given() -> None:
    with Bench() as bench:
        bench.add_events([{"account_id": "a"}, {"account_id": "b"}, {"account_id": "a"}])
        counted = bench.sql(
            "select entity_id, sum(events) as n from fingerprints_1m where kind = 'account' group by all"
        )
        assert dict(counted.sort("entity_id").iter_rows()) == {"a": 2, "b": 1}
