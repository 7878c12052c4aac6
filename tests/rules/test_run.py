"""What a rule returns is checked before anything believes it."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from pipeline.config import RuleSettings
from pipeline.rules.load import load_rules
from pipeline.rules.model import Rule
from pipeline.rules.run import RESULT, RuleAbortedError, RuleResultError, checked, evaluate

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ROW = {
    "dimension": "account",
    "entity_id": "a",
    "account_id": "a",
    "group_key": "account:a",
    "strength": 0.5,
    "reason": "because",
    "first_seen": NOW,
    "last_seen": NOW,
}


def test_columns_come_out_in_one_order_and_type() -> None:
    frame = pl.DataFrame([{name: ROW[name] for name in reversed(ROW)}, {**ROW, "account_id": "0"}])
    assert checked("r", frame).schema == RESULT
    assert checked("r", frame)["account_id"].to_list() == ["0", "a"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strength": 1.0}, "strength of 1.0"),
        ({"strength": 0.0}, "strength of 0.0"),
        ({"strength": float("nan")}, "strength of nan"),
        ({"strength": "high"}, "other types"),
        ({"account_id": None}, "nulls in account_id"),
        ({"extra": 1}, r"unknown \['extra'\]"),
    ],
)
def test_a_result_of_another_form_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(RuleResultError, match=said):
        checked("r", pl.DataFrame([{**ROW, **change}]))


def test_a_missing_column_and_an_entity_twice_are_refused() -> None:
    with pytest.raises(RuleResultError, match=r"missing \['reason'\]"):
        checked("r", pl.DataFrame([ROW]).drop("reason"))
    with pytest.raises(RuleResultError, match="twice"):
        checked("r", pl.DataFrame([ROW, ROW]))


def test_sql_that_fails_says_so() -> None:
    rule = load_rules(RuleSettings()).rules["shared_client"]
    broken = Rule(rule.rule_id, rule.meta, "select cast('x' as int), $since, $until", {}, "here")
    with pytest.raises(RuleAbortedError, match="shared_client failed: Conversion Error"):
        evaluate(duckdb.connect(), broken, NOW, NOW)
