"""A release through the whole way: told before or after the events the signals are the same, and go with it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.analyze import analyze
from pipeline.cli import run
from pipeline.clock import ManualClock
from pipeline.config import RuleSettings, Settings
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.testing import START, expand

RULE = load_rules(RuleSettings()).rules["new_model_pivot"]
FOUND = (
    "select account_id, strength, reason, first_seen, last_seen, window_start, window_end from signals "
    "where rule_id = 'new_model_pivot' order by all"
)
MOMENT = START + timedelta(seconds=50400)


def found(store: Path, sql: str = FOUND) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    case = RULE.meta.tests[0]
    events = sorted(
        ({**event, "timestamp": str(event["timestamp"])} for rows in case.rows for event, _ in expand(rows)),
        key=lambda event: str(event["timestamp"]),
    )
    path = tmp_path_factory.mktemp("pivot") / "t.ndjson"
    path.write_text("".join(json.dumps({"event_id": f"e{i}", **e}) + "\n" for i, e in enumerate(events)))
    return path


def test_told_before_or_after_the_signals_are_the_same_and_they_go_with_it(tmp_path: Path, traffic: Path) -> None:
    clock = ManualClock(START + timedelta(days=1))
    before, after = tmp_path / "before.duckdb", tmp_path / "after.duckdb"
    analyze([traffic], before, Settings(), clock=clock, metrics=Metrics(), releases={"new": MOMENT})
    assert {row[0] for row in found(before)} == {"pool-0", "pool-1"}
    analyze([traffic], after, Settings(), clock=clock, metrics=Metrics())
    assert found(after) == []
    assert run(["releases", "add", "new", MOMENT.isoformat(), "--store", str(after)], debug=False) == 0
    assert found(after) == found(before)
    scores = "select entity_id, score from findings order by all"
    assert found(after, scores) == found(before, scores)
    assert run(["releases", "add", "new", "2027-01-01", "--store", str(after)], debug=False) == 0
    assert found(after) == []
    assert found(after, scores) == []
