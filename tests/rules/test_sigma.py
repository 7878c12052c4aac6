"""Sigma rules are imported so that they fire on what they say and on nothing wider, or are refused by name."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import cli
from pipeline.config import RuleSettings
from pipeline.errors import UsageError
from pipeline.rules.lint import problems
from pipeline.rules.load import load_directory, load_rules
from pipeline.rules.model import Rule
from pipeline.rules.sigma import Importer, SigmaRefusedError
from pipeline.rules.sigma.compile import Compiled
from pipeline.rules.sigma.fields import FIELDS
from pipeline.rules.sigma.importer import compile_file
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.values import Text, Wild, quote
from pipeline.testing import START, Bench

Tree = dict[str, Any]
ANY: Final = {"model": "*"}


def base(selection: object, title: str = "Base", condition: str = "selection", **more: object) -> Tree:
    """A rule of events, named as its title."""
    detection = {"selection": selection, "condition": condition}
    detection |= {key: more.pop(key) for key in list(more) if key.startswith(("filter", "other"))}
    return {"title": title, "name": title, "logsource": {"product": "stillwatch"}, "detection": detection, **more}


def correlation(
    kind: str,
    rules: Sequence[str] = ("Base",),
    title: str = "Together",
    group_by: Sequence[str] | None = ("account_id",),
    **more: object,
) -> Tree:
    grouped = None if group_by is None else list(group_by)
    body = {"type": kind, "rules": list(rules), "group-by": grouped, "timespan": "10m", **more}
    return {"title": title, "level": "high", "correlation": body}


def file(directory: Path, *rules: Mapping[str, object]) -> Path:
    path = directory / "sigma.yml"
    path.write_text(yaml.safe_dump_all([dict(rule) for rule in rules], sort_keys=False), encoding="utf-8")
    return path


def imported(directory: Path, *rules: Mapping[str, object]) -> dict[str, Rule]:
    """Import them; what stands there then, loaded as ``serve`` loads it."""
    target = directory / "rules"
    Importer(target).run(file(directory, *rules))
    return dict(load_directory(target).rules)


def refused(directory: Path, *rules: Mapping[str, object]) -> str:
    with pytest.raises(SigmaRefusedError) as caught:
        Importer(directory / "rules").run(file(directory, *rules))
    assert not (directory / "rules").exists()
    return str(caught.value)


COUNT: Final = {"gte": 5}
EVENT_COUNT: Final = {
    "a flag": base({"refused": True}),
    "a flag that is not": base({"refused": True}, condition="not selection"),
    "a status": base({"status": 429}),
    "statuses": base({"status|gte": 400}),
    "a status but one": base({"status|gte": 400}, condition="selection and not filter", filter={"status": 429}),
    "a size": base({"output_tokens|gte": 1024}),
    "a small size, or none told": base({"input_tokens|gte": 64}, condition="not selection"),
    "a kind of request": base({"request_kind": ["rubric_grading", "output_rewriting"]}),
    "a model": base({"model|startswith": "Big-"}),
    "other models": base({"model": ["small", "tiny"]}, condition="not selection"),
    "all in one user agent": base({"user_agent|contains|all": ["python", "requests"]}),
    "a client by expression": base({"user_agent|re": "^python-(requests|httpx)/[0-9]+"}),
    "a network": base({"ip|cidr": "203.0.112.0/20"}),
    "an autonomous system": base({"asn": 64500}),
    "a template": base({"template": "0123456789abcdef"}),
    "an end user that is missing": base({"user_id": None}),
    "more than one answer": base({"n|gt": 1}),
    "a seed": base({"seed|exists": True}),
    "whose plan": base({"account.plan": "free", "refused": True}),
    "whose plan is another": base(
        {"account.plan": "free"}, condition="not selection and 1 of other*", other={"n|gte": 2}
    ),
    "who, whatever they send": base({"account_id|startswith": "acct-"}),
    "OpenTelemetry's name of it": base({"gen_ai.request.model|cased": "Large"}),
}


@pytest.mark.parametrize("name", EVENT_COUNT)
def test_event_count_is_proven_by_cases_of_its_own(tmp_path: Path, name: str) -> None:
    rules = imported(tmp_path, EVENT_COUNT[name], correlation("event_count", condition=COUNT, timespan="2h"))
    [rule] = rules.values()
    assert rule.rule_id == "sigma_together"
    assert rule.parameters == {"threshold": 5}
    fires = [case.name for case in rule.meta.tests if case.expect.accounts]
    assert fires == ["5 requests that it selects"]
    assert {"the same, 4 of them", "the same over twice the time"} <= {case.name for case in rule.meta.tests}


def test_a_threshold_is_gt_or_gte_and_cases_lower_a_high_one(tmp_path: Path) -> None:
    [rule] = imported(tmp_path, base(ANY), correlation("event_count", condition={"gt": 9999})).values()
    assert rule.parameters == {"threshold": 10_000}
    assert {tuple(case.parameters.items()) for case in rule.meta.tests} == {(("threshold", 20),)}


@pytest.mark.parametrize("field", [one.name for one in FIELDS if one.role in {"thing", "sketch"}])
def test_value_count_of_every_field_that_can_be_counted(tmp_path: Path, field: str) -> None:
    counted = correlation("value_count", condition={"field": field, "gte": 4}, timespan="1h")
    [rule] = imported(tmp_path, base(ANY), counted).values()
    names = [case.name for case in rule.meta.tests]
    assert names == [f"4 different {field}", f"3 different {field}", f"as many requests with one {field}"]


def test_value_count_of_some_of_its_values(tmp_path: Path) -> None:
    counted = correlation("value_count", condition={"field": "user_agent", "gte": 4}, timespan="2h")
    [rule] = imported(tmp_path, base({"user_agent|startswith": "python"}), counted).values()
    assert "requests that it does not select" in [case.name for case in rule.meta.tests]


@pytest.mark.parametrize("kind", ["temporal", "temporal_ordered"])
@pytest.mark.parametrize("second", [{"model|contains": "big"}, {"stream": True}], ids=["by hour", "by minute"])
def test_temporal(tmp_path: Path, kind: str, second: Tree) -> None:
    first = base({"refused": True}, "Refused")
    joined = correlation(kind, ["Refused", "Second"], timespan="1h")
    [rule] = imported(tmp_path, first, base(second, "Second"), joined).values()
    names = {case.name for case in rule.meta.tests}
    assert {"all of them in order", "all but “Refused”", "all but “Second”", "all of them too far apart"} <= names
    assert ("all of them in another order" in names) == (kind == "temporal_ordered")
    assert rule.parameters == {}


def test_by_api_key(tmp_path: Path) -> None:
    by_key = ["account_id", "api_key_id"]
    moving = {"field": "ip", "gte": 3}
    rules = imported(
        tmp_path,
        base({"refused": True, "api_key_id|startswith": "sk-"}),
        base(ANY, "All"),
        correlation("event_count", title="Refused keys", group_by=by_key, condition=COUNT),
        correlation("value_count", ["All"], "Moving keys", by_key, condition=moving),
    )
    assert {rule.meta.dimension for rule in rules.values()} == {"api_key"}
    with Bench() as bench:
        sent = {"refused": True, "account_id": "a"}
        bench.add_events([{**sent, "api_key_id": "sk-1"} for _ in range(5)])
        bench.add_events([{**sent, "api_key_id": "other"} for _ in range(5)])
        found = bench.evaluate(rules["sigma_refused_keys"])
        assert found.select("dimension", "entity_id", "account_id", "group_key").rows() == [
            ("api_key", "sk-1", "a", "account:a")
        ]


def test_a_rule_by_itself_tells_of_one_request(tmp_path: Path) -> None:
    [rule] = imported(tmp_path, base({"model": "forbidden"}, "A model that is forbidden", level="critical")).values()
    assert (rule.meta.severity, rule.meta.alert_at, rule.parameters) == ("critical", 0.9, {"threshold": 1})
    with Bench() as bench:
        bench.add_events([{"account_id": "a", "model": "Forbidden"}, {"account_id": "b", "model": "forbidden-not"}])
        assert bench.evaluate(rule)["account_id"].to_list() == ["a"]


def test_what_it_adds_up_lies_within_the_time_span(tmp_path: Path) -> None:
    """Against a count by hand: it fires where whole minutes within the span have enough, and never on wider ones."""
    span_s, enough = 600, 8
    [rule] = imported(tmp_path, base(ANY), correlation("event_count", condition={"gte": enough})).values()
    chance = random.Random(11)
    times = {f"a{n}": sorted(chance.uniform(0, 1190) for _ in range(chance.randint(4, 16))) for n in range(120)}
    with Bench() as bench:
        bench.add_events(
            [
                {"account_id": account, "timestamp": START + timedelta(seconds=at)}
                for at, account in sorted((at, account) for account, moments in times.items() for at in moments)
            ]
        )
        found = set(bench.evaluate(rule, START, START + timedelta(seconds=1200))["account_id"])

    def most(moments: Sequence[float], starts: Sequence[float]) -> int:
        return max(sum(start <= at < start + span_s for at in moments) for start in starts)

    by_minutes = {name for name, moments in times.items() if most(moments, range(0, 1200, 60)) >= enough}
    exactly = {name for name, moments in times.items() if most(moments, moments) >= enough}
    assert found == by_minutes
    assert found <= exactly
    assert 10 < len(found) < 110


def test_what_it_says_of_itself_comes_from_the_rule(tmp_path: Path) -> None:
    told = base(
        {"refused": True},
        level="low",
        status="stable",
        description="Two\nlines.",
        author="somebody",
        id="5d3f1a52-6b39-4a2c-9d3a-0f2c7a0c1a11",
        references=["https://example.org/a"],
        falsepositives=["Red teams"],
        tags=["attack.initial_access", "attack.t1078.004"],
    )
    rules = imported(tmp_path, told, correlation("event_count", condition=COUNT))
    meta = rules["sigma_together"].meta
    assert (meta.severity, meta.status, meta.evidence, meta.alert, meta.alert_at) == (
        "high", "experimental", "unscored", "match", 0.7,
    )  # fmt: skip
    assert meta.tags == ["sigma", "attack.initial-access", "attack.t1078.004"]
    assert meta.false_positives == ["Red teams"]
    assert meta.references == [
        "Sigma rule “Together”",
        "Sigma rule “Base” (5d3f1a52-6b39-4a2c-9d3a-0f2c7a0c1a11), by somebody",
        "https://example.org/a",
    ]
    assert rules.keys() == {"sigma_together"}, "a rule that is only part of a correlation is not written by itself"


def test_it_stands_beside_the_shipped_rules(tmp_path: Path) -> None:
    imported(tmp_path, base({"model": "forbidden"}))
    assert "sigma_base" in load_rules(RuleSettings(directory=tmp_path / "rules")).rules


# What is refused: rules, and what must be said.
REFUSED: Final[dict[str, tuple[list[Tree], str]]] = {
    "unknown field": ([base({"EventID": 4688})], "field EventID is unknown"),
    "field that is not kept": ([base({"endpoint": "/v1"})], "field endpoint: it is not stored"),
    "text": ([base({"messages|contains": "step by step"})], "field messages: text is turned into features"),
    "keyword": ([base(["ignore previous"])], "the keyword “ignore previous” without a field"),
    "old aggregation": (
        [base({"refused": True}, condition="selection | count() by account_id > 5")],
        "an aggregation such as | count() is Sigma's old form → write a correlation rule of type event_count",
    ),
    "near": (
        [base({"refused": True}, condition="selection | near other")],
        "near is Sigma's old form → write a correlation rule of type temporal",
    ),
    "unknown modifier": ([base({"model|sounds_like": "x"})], "Unknown modifier 'sounds_like'"),
    "modifier that makes no sense": ([base({"model|base64": "x"})], "modifier base64 of field model"),
    "placeholder": ([base({"model|expand": "%models%"})], "modifier expand of field model"),
    "another log source": (
        [{**base({"model": "x"}), "logsource": {"category": "proxy", "product": "windows"}}],
        "logsource product: windows, category: proxy is not ours → write product: stillwatch",
    ),
    "two counts of one request": (
        [base({"refused": True, "stream": True})],
        "refused and stream of one request: each is counted by itself",
    ),
    "two things of one request": ([base({"model": "x", "user_agent": "y"})], "model and user_agent of one request"),
    "who or what": (
        [base({"account.plan": "free"}, condition="selection or other", other={"refused": True})],
        "or, not, between account.plan and refused",
    ),
    "status that is not told apart": ([base({"status": 503})], "field status is not told apart so finely"),
    "size that is not told apart": ([base({"output_tokens|gt": 1000})], "a power of two"),
    "number that is not told apart": ([base({"n": 300})], "field n is not told apart so finely"),
    "value of a seed": ([base({"seed": 7})], "field seed: its value is not stored"),
    "flag that is not told": ([base({"refused": None})], "whether it was told is not stored"),
    "address": ([base({"ip": "203.0.113.7"})], "field ip: single values are not stored → ip|cidr"),
    "narrow network": ([base({"ip|cidr": "203.0.113.0/28"})], "of an address its /24 is stored"),
    "network of IPv6": ([base({"ip|cidr": "2001:db8::/48"})], "of IPv6"),
    "a condition that holds never": ([base({"model|exists": False})], "a condition that no request satisfies"),
    "everybody": ([base(ANY)], "it would tell of every account that sends anything"),
    "an expression without an example": ([base({"user_agent|re": "^[^a-z]{3}(?:x{2}){2}$"})], "cannot be tested"),
    "several conditions": (
        [base({"model": "x"}, condition=["selection", "selection"])],  # type: ignore[arg-type]
        "a list of conditions",
    ),
    "without group-by": (
        [base(ANY), correlation("event_count", condition=COUNT, group_by=None)],
        "no group-by → group by account_id",
    ),
    "another group-by": (
        [base(ANY), correlation("event_count", condition=COUNT, group_by=["model"])],
        "group-by model → group by account_id",
    ),
    "lte": ([base(ANY), correlation("event_count", condition={"lte": 5})], "condition lte: 5 → gte or gt"),
    "zero": ([base(ANY), correlation("event_count", condition={"gte": 0})], "condition gte: 0"),
    "seconds": (
        [base(ANY), correlation("event_count", condition=COUNT, timespan="90s")],
        "timespan 90s → whole minutes",
    ),
    "minutes of what is counted by hours": (
        [base({"model": "x"}), correlation("event_count", condition=COUNT)],
        "timespan 10m → whole hours",
    ),
    "months": ([base(ANY), correlation("event_count", condition=COUNT, timespan="2w")], "timespan 2w → 7d at most"),
    "other correlations": (
        [base(ANY), correlation("value_sum", condition={"field": "output_tokens", "gte": 5})],
        "correlation type value_sum → event_count, value_count, temporal or temporal_ordered",
    ),
    "an unknown correlation": ([base(ANY), correlation("sometimes", condition=COUNT)], "'sometimes' is no valid"),
    "values that are not stored together": (
        [base({"refused": True}), correlation("value_count", condition={"field": "model", "gte": 3}, timespan="1h")],
        "value_count of model of requests selected by refused: not stored together",
    ),
    "values of a count": (
        [base(ANY), correlation("value_count", condition={"field": "status", "gte": 3}, timespan="1h")],
        "value_count of status → one of api_key_id",
    ),
    "more values than there are": (
        [
            base({"model": ["one", "two"]}),
            correlation("value_count", condition={"field": "model", "gte": 3}, timespan="1h"),
        ],
        "3 different model: only 2 could be found that it selects",
    ),
    "some of several": (
        [
            base({"refused": True}, "A"),
            base({"stream": True}, "B"),
            correlation("temporal", ["A", "B"], condition={"gte": 1}),
        ],
        "condition gte: 1 → leave it out",
    ),
    "a condition in words": (
        [
            base({"refused": True}, "A"),
            base({"stream": True}, "B"),
            correlation("temporal", ["A", "B"], condition="A and not B"),
        ],
        "a condition in words → leave it out",
    ),
    "too short for its rules": (
        [
            *(base({"status": 429}, one) for one in "ABC"),
            correlation("temporal_ordered", ["A", "B", "C"], timespan="1m"),
        ],
        "timespan 1 minute for 3 rules",
    ),
    "a correlation of correlations": (
        [
            base({"refused": True}),
            {**correlation("event_count", condition=COUNT, title="Inner"), "name": "inner"},
            correlation("temporal", ["inner", "Base"]),
        ],
        "inner: a correlation of correlations",
    ),
    "a rule that is not there": ([correlation("event_count", ["nobody"], condition=COUNT)], "Rule 'nobody' not found"),
    "aliases": (
        [base(ANY), correlation("event_count", condition=COUNT, aliases={"who": {"Base": "account_id"}})],
        "aliases → name the fields alike",
    ),
    "a filter": ([base({"model": "x"}), {"title": "Without", "filter": {"rules": ["Base"]}}], "a Sigma filter"),
    "an action": ([{"title": "All", "action": "global"}, base({"model": "x"})], "action global → write each rule out"),
    "no title of letters": ([base({"model": "x"}, "…")], "a title without letters or digits"),
    "the same title": ([base({"model": "x"}, "A b"), base({"model": "y"}, "A-B")], "2 rules would be named sigma_a_b"),
    "no detection": ([{"title": "Nothing", "logsource": {"product": "stillwatch"}}], "“Nothing”: "),
    "control characters": ([base({"model": "a\u202eb"})], "invisible character U+202E"),
    "an endless value": ([base({"model": "x" * 2000})], "a value of 2000 characters → at most 1024"),
    "an endless condition": (
        [base({"model": "x"}, condition="(" * 50 + "selection" + ")" * 50)],
        "with 50 brackets",
    ),
    "unsupported": ([base({"model": "x"}, status="unsupported")], "status unsupported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    rules, said = REFUSED[name]
    message = refused(tmp_path, *rules)
    assert said in message
    assert "sigma.yml: " in message, "the file"
    assert all(" → " in line for line in message.splitlines()[1:]), "and what to do next"
    titles = [one_line for rule in rules if (one_line := str(rule["title"]))]
    assert any(f"“{title}”" in message for title in titles), "the rule"


def test_nothing_is_written_and_every_reason_is_said_when_one_rule_is_refused(tmp_path: Path) -> None:
    message = refused(
        tmp_path, base({"model": "x"}, "Good"), base({"endpoint": "x"}, "Bad"), base({"status": 503}, "Worse")
    )
    assert "“Bad”" in message
    assert "“Worse”" in message
    assert "“Good”" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\ntitle: t\n", "aliases"),
        ("title: a\ntitle: b\n", "given twice"),
        ("- 1\n- 2\n", "a document that is no mapping"),
        ("title: [\n", "while parsing"),
        ("", "no rule in it"),
        ("title: " + "[" * 20_000, "nesting depth"),
        ("title: t\n" + "x" * 300_000, "larger than"),
        ("--- {title: t}\n" * 300, "300 rules"),
        ("title: 5\nlogsource: 5\ndetection: 5\n", "title: Input should be a valid string"),
        ("title: t\ndetection: {condition: 7, 7: 7}\nlogsource: {product: stillwatch}\n", "“t”: detection.condition"),
    ],
)  # fmt: skip
def test_hostile_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sigma.yml"
    path.write_text(text)
    with pytest.raises(SigmaRefusedError, match=re.escape(said)):
        Importer(tmp_path / "rules").run(path)
    assert not (tmp_path / "rules").exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "sigma.yml"
    path.write_bytes(b"title: \xff\xfe\x00")
    with pytest.raises(SigmaRefusedError, match="no YAML"):
        Importer(tmp_path / "rules").run(path)


@pytest.mark.parametrize("title", ["../../x", "/etc/passwd", "a\n'; drop table x; --", "..\\x", "con.sql"])
def test_hostile_titles_name_files_of_the_directory_only(tmp_path: Path, title: str) -> None:
    target = tmp_path / "deep" / "er" / "rules"
    [done] = Importer(target).run(file(tmp_path, {**base({"model": "x"}, "Base"), "title": title, "name": "../../y"}))
    assert re.fullmatch(r"sigma_[a-z0-9_]+", done.rule_id)
    assert sorted(path.name for path in tmp_path.rglob("*.sql")) == [f"{done.rule_id}.sql"]
    assert {path.parent for path in tmp_path.rglob("sigma_*")} == {target}


TEXTS: Final = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=30)
NASTY: Final = st.sampled_from(
    ["'", "''; drop table pane; --", "%", "_", "\\", "\\'", "*", "a' or '1'='1", "$since", "{}", "{i}", "/*", "“"]
)
VALUES: Final = st.one_of(TEXTS, st.tuples(TEXTS, NASTY, TEXTS).map("".join))


@given(VALUES, VALUES)
def test_a_value_stays_data_in_sql(value: str, other: str) -> None:
    for cased in (True, False):
        test = Text((value,), cased=cased)
        asked = f"select {test.sql('given')} from (select $given as given)"
        assert duckdb.execute(asked, {"given": value}).fetchone() == (True,)
        if value.casefold() != other.casefold() and value.lower() != other.lower():
            assert duckdb.execute(asked, {"given": other}).fetchone() == (False,)
    around = Text((value, Wild.MANY, Wild.ONE))
    found = duckdb.execute(
        f"select {around.sql('given')} from (select $given as given)", {"given": f"{value}x{other}y"}
    )
    assert found.fetchone() == (True,)
    assert around.holds(f"{value}x{other}y")
    assert duckdb.execute(f"select {quote(value)}").fetchone() == (value,)


@given(VALUES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_rule_with_any_value_is_one_select_of_the_same_shape(tmp_path: Path, value: str) -> None:
    escaped = re.sub(r"([\\*?])", r"\\\1", value)
    path = file(tmp_path, base({"account.plan": escaped, "refused": True}, title=f"x {value}", level="low"))
    try:
        [one] = compile_file(path)
    except SigmaRefusedError as error:  # a value that no case could be made with
        assert "{i}" in value or "{j}" in value, error  # noqa: PT017
        return
    assert problems(one.sql, frozenset({"threshold"})) == []
    assert shape(one) == shape(
        compile_file(file(tmp_path, base({"account.plan": "x", "refused": True}, level="low")))[0]
    )


def shape(one: Compiled) -> str:
    """The syntax tree without its constants."""
    row = duckdb.execute("select json_serialize_sql($sql)", {"sql": one.sql}).fetchone()
    assert row is not None
    return re.sub(r'"(value|query_location)":("(?:[^"\\]|\\.)*"|\d+)', "", str(row[0]))


def test_control_characters_never_reach_sql() -> None:
    for value in ("a\nb", "a\x00b", "a\u2028b", "a\udc00b"):
        with pytest.raises(NotExpressibleError, match="invisible character"):
            quote(value)


def test_the_same_file_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = file(tmp_path, base({"refused": True}), correlation("event_count", condition=COUNT))
    first = Importer(tmp_path / "one").run(path)
    Importer(tmp_path / "two").run(path)
    texts = [{item.name: item.read_bytes() for item in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert texts[0] == texts[1]
    assert texts[0].keys() == {"sigma_together.sql", "sigma_together.yml"}
    again = Importer(tmp_path / "one").run(path)
    assert [(one.change, then.change) for one, then in zip(first, again, strict=True)] == [("written", "unchanged")]


def test_what_is_there_needs_force(tmp_path: Path) -> None:
    path = file(tmp_path, base({"model": "x"}))
    rules = tmp_path / "rules"
    Importer(rules).run(path)
    kept = rules / "sigma_base.yml"
    kept.write_text(kept.read_text().replace("low", "high"))
    mine = kept.read_bytes()
    more = file(tmp_path, base({"model": "y"}, "Another"), base({"model": "x"}))
    with pytest.raises(UsageError, match="sigma_base is there and says something else; nothing was written → --force"):
        Importer(rules).run(more)
    assert kept.read_bytes() == mine
    assert not (rules / "sigma_another.sql").exists()
    changes = {one.rule_id: one.change for one in Importer(rules, force=True).run(more)}
    assert changes == {"sigma_another": "written", "sigma_base": "replaced"}
    assert kept.read_bytes() != mine


def test_pysigma_is_read_without_its_data_from_the_network() -> None:
    code = (
        "import sys, pipeline.rules.sigma; "
        "print([name for name in sys.modules if name.startswith('sigma.data') or name in ('requests', 'urllib3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    path = file(tmp_path, base({"model": "x"}))
    assert cli.run(["rules", "import-sigma", str(path)], debug=False) == 78
    assert "--directory DIR, or set rules.directory" in capsys.readouterr().err
    assert cli.run(["rules", "import-sigma", str(path), "--directory", "mine"], debug=False) == 0
    assert "sigma_base" in capsys.readouterr().out
    assert cli.run(["rules", "import-sigma", "missing.yml", "--directory", "mine"], debug=False) == 66
    bad = file(tmp_path, base({"endpoint": "x"}))
    assert cli.run(["rules", "import-sigma", str(bad), "--directory", "mine"], debug=False) == 65
    assert "field endpoint" in capsys.readouterr().err
