"""What ``rules test`` says of good rules and of bad ones; what ``rules new`` makes of a question."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.errors import UsageError
from pipeline.rules.check import Check, check
from pipeline.rules.load import load_directory, read_pairs
from pipeline.rules.model import RuleFileError
from pipeline.rules.scaffold import Question, rule_sql, write_pair
from tests.rules.test_load import SQL, YAML, write

ASKED = (
    "select entity_id as account_id, sum(events) as requests from fingerprints_1h "
    "where kind = 'account' and window_start >= $since and window_start < $until "
    "group by entity_id having sum(events) > $least"
)
WHOLE = YAML.replace("runbook: [look]", "runbook: [look]\nlimits: [few events]\nowner: us\ntags: [own]")


def checks(directory: Path) -> list[Check]:
    return [one for read in read_pairs(directory) for one in check(read, clock=SystemClock())]


def failed(directory: Path) -> list[tuple[str, str]]:
    return [(one.kind, one.detail) for one in checks(directory) if one.state == "failed"]


def test_a_good_rule_passes_everything(tmp_path: Path) -> None:
    done = checks(write(tmp_path, yaml=WHOLE))
    assert [(one.kind, one.state) for one in done] == [
        ("lint", "passed"), ("docs", "passed"), ("case", "passed"), ("case", "passed"), ("cost", "passed"),
    ]  # fmt: skip
    assert "reads links" in done[0].detail
    assert "1 accounts, expected 1" in done[2].detail


def test_a_case_that_is_not_met_fails_and_the_others_are_run(tmp_path: Path) -> None:
    write(tmp_path, yaml=WHOLE.replace("events: 9", "events: 2"))
    write(tmp_path, "other", yaml=WHOLE)
    assert failed(tmp_path) == [("case", "0 accounts, expected 1")]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{account_id: a}}]\n    expect: {accounts: 1}", "{model: m}}]\n    expect: {accounts: 1}", "event 0"),
        (
            "event: {account_id: a}}]\n    expect: {accounts: 1}",
            "event: {}, facts: {plan: x}}]\n    expect: {accounts: 1}",
            "",
        ),
    ],
)
def test_a_case_that_cannot_be_run_fails_by_itself(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in WHOLE
    found = failed(write(tmp_path, yaml=WHOLE.replace(before, after)))
    assert [kind for kind, _ in found] == ["case"]
    assert said in found[0][1]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("0.5 as strength", "null as strength", "nulls in strength"),
        ("0.5 as strength", "1.5 as strength", "strength of 1.5"),
        ("0.5 as strength", "(events / 0)::int / 0 as strength", ""),
        ("source_id as account_id", "null as account_id", "nulls in account_id"),
        ("'because' as reason", "'because' as reason, 'why' as reason", "two columns of one name"),
    ],
)
def test_rows_that_are_none_of_a_rule_fail_the_case(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in SQL
    found = failed(write(tmp_path, sql=SQL.replace(before, after), yaml=WHOLE))
    assert found
    assert said in found[0][1]


def test_what_was_left_to_be_written_is_found(tmp_path: Path) -> None:
    assert ("docs", "empty, or TODO, in title, runbook") in failed(
        write(tmp_path, yaml=WHOLE.replace("title: A rule", "title: TODO").replace("[look]", "['TODO: look']"))
    )
    notes = [one.detail for one in checks(write(tmp_path, yaml=YAML)) if one.state == "note"]
    assert notes == ["worth having: owner, limits, tags"]


def test_a_million_rows_fail_the_case(tmp_path: Path) -> None:
    sql = SQL.replace("from links where", "from links, range(1000000) as r (n) where")
    sql = sql.replace("group by source_id", "group by source_id, n")
    assert ("case", "rule mine returned more than 500000 rows") in failed(write(tmp_path, sql=sql, yaml=WHOLE))


def test_a_join_of_all_with_all_is_noted(tmp_path: Path) -> None:
    sql = SQL.replace(
        "from links where hour >= $since and hour < $until",
        "from (select one.* from links as one inner join links as two on one.events <> two.events + 1000 "
        "where one.hour >= $since and one.hour < $until) where true",
    )
    crowd = WHOLE.replace("rows: [{events: 9,", "rows: [{accounts: 150, events: 5,").replace(
        "{account_id: a}}]\n    expect: {accounts: 1}", '{account_id: "a{i}"}}]\n    expect: {accounts: 150}'
    )
    notes = [one.detail for one in checks(write(tmp_path, sql=sql, yaml=crowd)) if one.state == "note"]
    assert any("pairs of rows" in note for note in notes)


def test_every_problem_of_a_pair_is_a_check(tmp_path: Path) -> None:
    write(tmp_path, "two_statements", sql=SQL + "; drop table signal")
    write(tmp_path, "Upper-Case")
    (tmp_path / "alone.yaml").write_text(YAML)
    (tmp_path / ".hidden.yml").write_text("{")
    told = {one.rule_id: one.detail for one in checks(tmp_path)}
    assert told.keys() == {"two_statements", "Upper-Case", "alone"}
    assert "exactly one SELECT" in told["two_statements"]
    assert "no id of a rule" in told["Upper-Case"]
    assert "name it alone.yml" in told["alone"]


def test_a_question_becomes_a_rule_that_only_lacks_its_tests(tmp_path: Path) -> None:
    sql, yaml = write_pair(tmp_path, Question("chatty", "Who asks a lot?", ASKED, {"least": 30}, owner="us"))
    [(kind, said)] = failed(tmp_path)
    assert (kind, "tests: List should have at least 2 items" in said) == ("lint", True)
    text = yaml.read_text()
    yaml.write_text(text.replace("\n#  ", "\n  "))  # what stands there as an example, uncommented
    assert failed(tmp_path) == []
    rule = load_directory(tmp_path).rules["chatty"]
    assert rule.parameters == {"least": 30, "strength": 0.3}
    assert rule.meta.owner == "us"
    # Each match is told by an alert of its own, and nobody is named for it.
    assert (rule.meta.evidence, rule.meta.alert) == ("unscored", "match")
    assert rule.meta.alert_at < rule.parameters["strength"]
    assert sql.read_text().startswith("-- Who asks a lot?\n")
    with pytest.raises(UsageError, match="there already"):
        write_pair(tmp_path, Question("chatty", "Again", ASKED, {"least": 30}))


def test_a_question_with_all_columns_stays_as_it_is() -> None:
    assert rule_sql(Question("mine", "Mine", SQL + ";", {"least": 3})).splitlines()[1:] == SQL.strip().splitlines()


@pytest.mark.parametrize(
    ("sql", "values", "said"),
    [
        ("select entity_id as account_id from fingerprints_1h", {}, "where window_start >= $since"),
        (ASKED, {}, "--param NAME=NUMBER"),
        (ASKED.replace("as account_id", "as who"), {"least": 1}, "no column account_id"),
        (ASKED.replace("sum(events) as requests", "nonsense as requests"), {"least": 1}, "nonsense"),
        (ASKED + "; drop table signal", {"least": 1}, "exactly one SELECT"),
        (ASKED.replace("fingerprints_1h", "'/etc/passwd'"), {"least": 1}, "no view"),
        (ASKED.replace("as requests", "as account_id"), {"least": 1}, "two columns of one name"),
        ("", {}, "exactly one SELECT"),
    ],
)
def test_a_question_that_can_be_no_rule_is_refused_with_the_reason(
    tmp_path: Path, sql: str, values: dict[str, float], said: str
) -> None:
    with pytest.raises(RuleFileError) as caught:
        write_pair(tmp_path / "new", Question("chatty", "T", sql, values))
    assert said in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("rule_id", ["", "../chatty", "Chatty", "a.b", "1st", "a" * 64])
def test_an_id_is_a_plain_name(tmp_path: Path, rule_id: str) -> None:
    with pytest.raises(UsageError, match="no id"):
        write_pair(tmp_path, Question(rule_id, "T", ASKED, {"least": 1}))


@pytest.mark.parametrize("title", ['It\'s "quoted": yes', "a\nb: c", "100 % {x} #", "Ünïcödé?"])
def test_any_title_makes_readable_files(tmp_path: Path, title: str) -> None:
    write_pair(tmp_path, Question("chatty", title, ASKED, {"least": 30}))
    yaml = tmp_path / "chatty.yml"
    yaml.write_text(yaml.read_text().replace("\n#  ", "\n  "))
    assert load_directory(tmp_path).rules["chatty"].meta.title == " ".join(title.split())
