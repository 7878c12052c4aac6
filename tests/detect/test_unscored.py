"""What is unscored opens alerts of its own and moves no score, no name and no campaign, whatever it says of whom."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.alerts.subjects import current_subjects
from pipeline.config import RuleSettings
from pipeline.rules.load import RuleSet, load_rules
from pipeline.rules.model import RuleFileError
from pipeline.testing import START, Bench, case_bench

SQL = """
select 'account' as dimension, entity_id, entity_id as account_id, 'client:everybody' as group_key, 0.95 as strength,
    'said of everybody' as reason, min(first_seen) as first_seen, max(last_seen) as last_seen
from fingerprints_1m where kind = 'account' and window_start >= $since and window_start < $until group by entity_id
"""
YAML = """
title: Everybody
description: Says the strongest of everybody.
severity: low
evidence: EVIDENCE
dimension: account
window: 2h
hop: 1h
every: 5m
alert: ALERT
alert_at: 0.9
references: [a test]
false_positives: [everybody]
runbook: [look]
tests:
  - {name: fires, rows: [{events: 9, event: {account_id: a}}], expect: {accounts: 1}}
  - {name: does not, rows: [{events: 1, event: {account_id: a}}], expect: {accounts: 0}}
"""
FINDINGS = (
    "select entity_id, score, e_value, named, campaign_id, reasons, first_seen, last_seen from findings order by all"
)


def with_rule(directory: Path, evidence: str = "unscored", alert: str = "match") -> RuleSet:
    (directory / "everybody.sql").write_text(SQL)
    (directory / "everybody.yml").write_text(YAML.replace("EVIDENCE", evidence).replace("ALERT", alert))
    return load_rules(RuleSettings(directory=directory))


def looked_at(rules: RuleSet, *, again: timedelta | None = None) -> Bench:
    """A bench in which shipped rules have something to say, looked at; once more when somebody sends later."""
    case = load_rules(RuleSettings()).rules["full_speed_new_account"].meta.tests[0]
    bench = case_bench(case)
    bench.detect(rules)
    if again is not None:
        bench.clock.wall = START + again
        bench.add_events([{"account_id": "fresh", "timestamp": START + again}])
        bench.detect(rules)
    return bench


@pytest.mark.parametrize("again", [None, timedelta(days=8)], ids=["at once", "eight days later"])
def test_findings_are_the_same_with_and_without_it(tmp_path: Path, again: timedelta | None) -> None:
    with (
        looked_at(load_rules(RuleSettings()), again=again) as without,
        looked_at(with_rule(tmp_path), again=again) as beside,
    ):
        expected = without.sql(FINDINGS)
        assert expected.height > 0
        assert beside.sql(FINDINGS).equals(expected)
        holders = "select account_id, group_key from thing_holder order by all"
        assert beside.sql(holders).equals(without.sql(holders))
        assert beside.sql("select * from signals where rule_id = 'everybody'").height > 0


def test_it_would_have_moved_them_under_another_kind(tmp_path: Path) -> None:
    with looked_at(load_rules(RuleSettings())) as without, looked_at(with_rule(tmp_path, "identity")) as beside:
        assert not beside.sql(FINDINGS).equals(without.sql(FINDINGS))


def test_it_alerts_by_itself(tmp_path: Path) -> None:
    rules = with_rule(tmp_path)
    with looked_at(rules) as bench, bench.store.transaction() as tx:
        found = [subject for subject in current_subjects(tx, rules).values() if subject.rule_id == "everybody"]
        assert [(subject.score, subject.severity) for subject in found] == [(0.95, "low")]


def test_without_an_alert_of_its_own_it_would_say_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="without alert: match"):
        with_rule(tmp_path, alert="finding")
