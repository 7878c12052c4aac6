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
    assert checked("r", frame.to_arrow()).schema == RESULT
    assert checked("r", frame.to_arrow())["account_id"].to_list() == ["0", "a"]


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
        checked("r", pl.DataFrame([{**ROW, **change}]).to_arrow())


def test_a_missing_column_and_an_entity_twice_are_refused() -> None:
    with pytest.raises(RuleResultError, match=r"missing \['reason'\]"):
        checked("r", pl.DataFrame([ROW]).drop("reason").to_arrow())
    with pytest.raises(RuleResultError, match="twice"):
        checked("r", pl.DataFrame([ROW, ROW]).to_arrow())


def rule_of(sql: str) -> Rule:
    rule = load_rules(RuleSettings()).rules["shared_client"]
    return Rule("r", rule.meta, sql, {}, "here")


ONE = (
    "select 'account' as dimension, 'a' || i as entity_id, 'a' || i as account_id, 'account:a' as group_key, "
    "0.5 as strength, 'because' as reason, $since as first_seen, $until as last_seen"
)


def test_a_million_rows_are_not_taken_and_the_transaction_goes_on() -> None:
    connection = duckdb.connect()
    connection.execute("begin")
    with pytest.raises(RuleResultError, match="more than 500000 rows"):
        evaluate(connection, rule_of(f"{ONE} from range(1000000) as numbers (i)"), NOW, NOW)
    assert evaluate(connection, rule_of(f"{ONE} from range(3) as numbers (i)"), NOW, NOW).height == 3


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(RuleResultError, match="two columns of one name: reason"):
        evaluate(duckdb.connect(), rule_of(f"{ONE}, 'why' as reason from range(3) as numbers (i)"), NOW, NOW)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("'a' || i as account_id", "null as account_id", "nulls in account_id"),
        ("'account:a' as group_key", "null as group_key", "nulls in group_key"),
        ("0.5 as strength", "'strong' as strength", "other types"),
        ("0.5 as strength", "'NaN'::double as strength", "strength of nan"),
        ("$since as first_seen", "[$since] as first_seen", "other types"),
        ("'because' as reason", "{'a': 1} as reason", "other types"),
        ("'because' as reason", "'because' as because", "missing"),
    ],
)
def test_rows_of_another_form_are_refused(before: str, after: str, said: str) -> None:
    assert before in ONE
    with pytest.raises(RuleResultError, match=said):
        evaluate(duckdb.connect(), rule_of(f"{ONE.replace(before, after)} from range(3) as t (i)"), NOW, NOW)


def test_a_look_that_takes_longer_than_it_may_is_stopped() -> None:
    endless = f"{ONE} from (select count(*) as i from range(100000000) as a, range(100000000) as b) as t"
    with pytest.raises(RuleAbortedError, match=r"longer than 0\.1 s"):
        evaluate(duckdb.connect(), rule_of(endless), NOW, NOW, within_s=0.1)


def test_sql_that_fails_says_so() -> None:
    rule = load_rules(RuleSettings()).rules["shared_client"]
    broken = Rule(rule.rule_id, rule.meta, "select cast('x' as int), $since, $until", {}, "here")
    with pytest.raises(RuleAbortedError, match="shared_client failed: Conversion Error"):
        evaluate(duckdb.connect(), broken, NOW, NOW)


def test_a_rule_that_needs_more_memory_names_the_setting() -> None:
    connection = duckdb.connect(config={"memory_limit": "20MB", "temp_directory": ""})
    many = f"{ONE} from (select i from range(2000000) as numbers (i) group by i having count(*) > 1) as t"
    with pytest.raises(RuleAbortedError, match=r"more memory than store\.memory_limit_mb"):
        evaluate(connection, rule_of(many), NOW, NOW)
