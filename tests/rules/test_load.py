"""Loading rules: everything wrong is said at once, and nothing half-checked is run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.rules.load import load_directory, load_rules, override, read_directory, usable_rules
from pipeline.rules.model import RuleFileError

SQL = """
select 'account' as dimension, source_id as entity_id, source_id as account_id, 'account:' || source_id as group_key,
    0.5 as strength, 'because' as reason, min(first_seen) as first_seen, max(last_seen) as last_seen
from links where hour >= $since and hour < $until and events > $least group by source_id
"""
YAML = """
title: A rule
description: What it is for.
severity: low
evidence: usage
dimension: account
window: 2h
hop: 1h
every: 5m
parameters: {least: {default: 3, min: 1, max: 10, description: events}}
references: [G2]
false_positives: [none known]
runbook: [look]
tests:
  - name: fires
    rows: [{events: 9, event: {account_id: a}}]
    expect: {accounts: 1}
  - name: does not
    rows: [{events: 1, event: {account_id: a}}]
    expect: {accounts: 0}
"""


def write(directory: Path, name: str = "mine", sql: str = SQL, yaml: str = YAML) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.sql").write_text(sql)
    (directory / f"{name}.yml").write_text(yaml)
    return directory


def test_shipped_rules_load_and_a_users_stand_beside_them(tmp_path: Path) -> None:
    rules = load_rules(RuleSettings(directory=write(tmp_path / "mine")))
    assert {"shared_prompt", "closed_loop_pool", "full_speed_new_account", "shared_client", "mine"} <= set(rules.rules)
    assert rules.rules["mine"].parameters == {"least": 3}


def test_disabled_rules_are_left_out_and_must_exist() -> None:
    assert "shared_client" not in load_rules(RuleSettings(disabled=("shared_client",))).rules
    with pytest.raises(RuleFileError, match="no rule nonsense"):
        load_rules(RuleSettings(disabled=("nonsense",)))


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="shared_client is taken"):
        load_rules(RuleSettings(directory=write(tmp_path / "mine", "shared_client")))


def test_all_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, "one", sql="select 1")
    write(tmp_path, "two", yaml=YAML.replace("severity: low", "severity: loud"))
    (tmp_path / "three.sql").write_text(SQL)
    with pytest.raises(RuleFileError) as caught:
        load_directory(tmp_path)
    text = str(caught.value)
    assert "one.sql: $since is not used" in text
    assert "two.yml: severity" in text
    assert "three.yml: missing" in text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("window: 2h", "window: soon", "no duration"),
        ("window: 2h", "window: 30m", "at least hop"),
        ("every: 5m", "every: 90s", "whole minutes"),
        ("every: 5m", "every: 7m", "multiple of every"),
        ("default: 3", "default: 30", "outside 1…10"),
        ("expect: {accounts: 1}", "expect: {accounts: 0}", "at least one case must fire"),
        ("expect: {accounts: 0}", "expect: {accounts: 2}", "look-alike"),
        ("references: [G2]", "references: []", "references"),
        ("title: A rule", "title: A rule\ntitle: Another", "given twice: title"),
        ("references: [G2]", "references: &a [G2]\ntags: *a", "aliases"),
        ("title: A rule", "title: A rule\nsurprise: 1", "surprise"),
        ("title: A rule", "title: [", "yml"),
        ("severity: low", "severity: low\nconfidence: sure", "confidence"),
        ("severity: low", "severity: low\nstatus: new", "status"),
        ("severity: low", "severity: low\nowner: ' '", "one line"),
        ("severity: low", 'severity: low\nowner: "two\\nlines"', "one line"),
        ("severity: low", "severity: low\ntags: [Upper]", "no tag"),
        ("severity: low", "severity: low\ntags: [two words]", "no tag"),
        ("severity: low", "severity: low\ntags: [a, a]", "a twice"),
        ("severity: low", "severity: low\ntags: [" + ", ".join(f"t{i}" for i in range(21)) + "]", "tags"),
        ("severity: low", "severity: low\nfor: soon", "no duration"),
        ("severity: low", "severity: low\nfor: 8d", "7d at most"),
        ("severity: low", "severity: low\nfor: -1m", "no duration"),
        ("severity: low", "severity: low\nkeep_firing_for: 31d", "30d at most"),
        ("severity: low", "severity: low\npending_for: 5m", "pending_for"),
        ("window: 2h", "window: 99999999999d", "longer than 400d"),
        ("window: 2h", "window: 401d", "longer than 400d"),
        ("default: 3", "default: .nan", "finite"),
        ("max: 10", "max: .inf", "finite"),
        ("events: 9", "events: 1000000000", "50000 at most"),
        ("events: 9", "accounts: 5000, events: [1, 200]", "50000 at most"),
        ("events: 9", "events: -1", "greater than or equal to 0"),
        ("events: 9", "events: []", "at least 1 item"),
        ("events: 9", "events: 9, event_step_s: .inf", "event_step_s"),
        ("title: A rule", "title: !!python/object/apply:os.system [ls]", "constructor"),
        ("title: A rule", "title: \0", "control characters"),
        ("title: A rule", "2020-01-01: A rule", "yml"),
    ],
)
def test_a_broken_yaml_says_what_is_wrong(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in YAML
    rules, wrong = read_directory(write(tmp_path, yaml=YAML.replace(before, after)))
    assert not rules
    assert said in "\n".join(wrong)


def test_a_yaml_bomb_is_refused_unread(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    assert "aliases" in "\n".join(read_directory(write(tmp_path, yaml=bomb))[1])
    for deep in ("[" * 100_000, "{a: " * 30_000, "a: " + "[" * 60_000 + "]" * 60_000):
        assert "nesting" in "\n".join(read_directory(write(tmp_path, yaml=deep))[1])
    assert "larger" in "\n".join(read_directory(write(tmp_path, yaml="#" * 300_000))[1])


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="no such directory"):
        load_rules(RuleSettings(directory=tmp_path / "none"))


def test_parameters_are_overridden_within_their_range(tmp_path: Path) -> None:
    rule = load_directory(write(tmp_path)).rules["mine"]
    assert override(rule, {"least": 7}).parameters == {"least": 7}
    with pytest.raises(RuleFileError, match="outside"):
        override(rule, {"least": 70})
    with pytest.raises(RuleFileError, match="no parameter other"):
        override(rule, {"other": 1})


@pytest.mark.parametrize("text", ["", "- a", "3", "~"])
def test_a_yaml_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    assert "file: " in "\n".join(read_directory(write(tmp_path, yaml=text))[1])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "mine.yml").write_bytes(b"title: \xff")
    (tmp_path / "mine.sql").write_bytes(b"select \xff")
    told = "\n".join(read_directory(tmp_path)[1])
    assert "mine.yml: 'utf-8' codec" in told
    assert "mine.sql: 'utf-8' codec" in told
    (tmp_path / "mine.sql").write_text("select 1 " + "-" * 300_000)
    assert "mine.sql: larger than" in "\n".join(read_directory(tmp_path)[1])


def test_parameters_of_rules_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match=r"rules\.parameters: there is no rule nonsense"):
        load_rules(RuleSettings(parameters={"nonsense": {"a": 1}}))
    with pytest.raises(RuleFileError, match="no parameter a"):
        load_rules(RuleSettings(directory=write(tmp_path / "mine"), parameters={"mine": {"a": 1}}))
    assert (
        load_rules(RuleSettings(parameters={"shared_client": {"min_accounts": 30}}))
        .rules["shared_client"]
        .parameters["min_accounts"]
        == 30
    )


def test_rules_about_the_pipeline_are_disabled_and_tuned_by_the_same_settings() -> None:
    rules = load_rules(
        RuleSettings(disabled=("pipeline.rule_off",), parameters={"pipeline.source_silent": {"silent_minutes": 30}})
    )
    assert "pipeline.rule_off" not in rules.pipeline
    assert rules.pipeline["pipeline.source_silent"].parameters["silent_minutes"] == 30
    assert rules.pipeline["pipeline.source_silent"].parameters["usually"] == 0.75
    assert not any(rule.rule_id.startswith("pipeline.") for rule in rules)
    for settings, said in (
        (RuleSettings(disabled=("pipeline.nonsense",)), r"rules\.disabled: there is no rule pipeline\.nonsense"),
        (RuleSettings(disabled=("source_silent",)), r"rules\.disabled: there is no rule source_silent"),
        (RuleSettings(parameters={"pipeline.rule_off": {"a": 1}}), r"pipeline\.rule_off: no parameter a"),
        (RuleSettings(parameters={"pipeline.nonsense": {}}), r"rules\.parameters: there is no rule pipeline\.nonsense"),
    ):
        with pytest.raises(RuleFileError, match=said):
            load_rules(settings)


def test_whoever_goes_on_without_what_is_broken_gets_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "mine")
    write(tmp_path / "mine", "other", sql="select 1")
    found = usable_rules(RuleSettings(directory=tmp_path / "mine", disabled=("nonsense",)))
    rules = found.active()
    assert {"mine", "shared_client"} <= rules.rules.keys()
    assert rules.missing == {"other"}
    assert found.settings == ("rules.disabled: there is no rule nonsense",)
    assert any("other.sql: $since is not used" in problem for problem in found.problems)


def test_with_no_rule_at_all_nobody_goes_on(tmp_path: Path) -> None:
    every = tuple(load_rules(RuleSettings()).rules)
    write(tmp_path / "mine", sql="select 1")
    with pytest.raises(RuleFileError, match=r"mine\.sql"):
        usable_rules(RuleSettings(directory=tmp_path / "mine", disabled=every))
    assert not usable_rules(RuleSettings(disabled=every)).active()  # as was asked for
    with pytest.raises(ConfigError, match="no such directory"):
        usable_rules(RuleSettings(directory=tmp_path / "none"))


def test_every_shipped_rule_says_what_it_does_not_see() -> None:
    assert all(rule.meta.limits for rule in load_rules(RuleSettings()))


def test_what_is_said_about_alerts_and_routing_is_read_and_changes_no_version(tmp_path: Path) -> None:
    plain = load_directory(write(tmp_path / "one")).rules["mine"]
    told = YAML.replace("severity: low", "severity: low\nfor: 10m\nkeep_firing_for: 0\nconfidence: high\ntags: [a.b-c]")
    rule = load_directory(write(tmp_path / "two", yaml=told)).rules["mine"]
    assert (plain.meta.pending_for, plain.meta.keep_firing_for) == (timedelta(), timedelta(hours=1))
    assert (rule.meta.pending_for, rule.meta.keep_firing_for) == (timedelta(minutes=10), timedelta())
    assert (rule.meta.confidence, rule.meta.tags, rule.meta.status) == ("high", ["a.b-c"], "experimental")
    assert rule.version == plain.version


def test_every_shipped_rule_says_whose_it_is_and_which_technique_it_is_about() -> None:
    for rule in load_rules(RuleSettings()):
        assert rule.meta.owner, rule.rule_id
        assert any(tag.startswith("atlas.aml.t") for tag in rule.meta.tags), rule.rule_id
        told = " ".join(rule.meta.references).lower()
        for tag in rule.meta.tags:
            source, _, number = tag.partition(".")
            assert source not in {"aa26-251a", "atlas"} or number in told, f"{rule.rule_id}: {tag}"
