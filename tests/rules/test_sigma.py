"""Sigma rules are imported so that they fire on what they say and on nothing wider."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from pipeline import cli
from pipeline.alerts.subjects import current_subjects
from pipeline.config import RuleSettings
from pipeline.errors import UsageError
from pipeline.rules.load import load_rules
from pipeline.rules.sigma import Importer
from pipeline.rules.sigma.fields import FIELDS
from pipeline.testing import START, Bench
from tests.rules.sigma_rules import ANY, COUNT, Tree, base, correlation, file, imported

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


def test_it_knows_of_whom_it_speaks(tmp_path: Path) -> None:
    [rule] = imported(
        tmp_path, base({"account.plan": "free", "refused": True, "account.country": ["XX", "YY"]})
    ).values()
    assert [case.name for case in rule.meta.tests] == [
        "a request that it selects",
        "requests that it does not select",
        "requests of somebody of whom it does not speak",
    ]


@pytest.mark.parametrize(
    ("counted", "timespan", "view"),
    [
        (correlation("event_count", condition=COUNT), "1d", "fingerprints_1m"),
        (correlation("event_count", condition=COUNT), "2d", "fingerprints_1h"),
        (correlation("value_count", condition={"field": "ip", "gte": 5}), "1h", "fingerprints_1m"),
        (correlation("value_count", condition={"field": "ip", "gte": 5}), "7d", "fingerprints_1h"),
    ],
)
def test_long_time_spans_are_counted_by_hours(tmp_path: Path, counted: Tree, timespan: str, view: str) -> None:
    counted = {**counted, "correlation": {**counted["correlation"], "timespan": timespan}}
    [rule] = imported(tmp_path, base(ANY), counted).values()
    assert f"from {view} as prints" in rule.sql


def test_its_matches_open_alerts_and_name_nobody(tmp_path: Path) -> None:
    counted = correlation("event_count", condition=COUNT)
    imported(tmp_path, base({"status": 429}), counted)
    rules = load_rules(RuleSettings(directory=tmp_path / "rules"))
    with Bench() as bench:
        bench.add_events([{"account_id": f"a{n % 3}", "status": 429 if n % 3 else 200} for n in range(15)])
        bench.detect(rules)
        assert bench.sql("select * from findings").height == 0
        with bench.store.transaction() as tx:
            found = sorted(current_subjects(tx, rules).values(), key=lambda subject: subject.group_key)
        assert [(one.group_key, one.severity, one.score) for one in found] == [
            ("account:a1", "high", 0.7),
            ("account:a2", "high", 0.7),
        ]
        assert found[0].summary == "5 requests within 10 minutes: Together. The rule asks for 5."


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


def test_it_tells_of_nothing_that_sigma_would_not(tmp_path: Path) -> None:
    """Against the definitions, request by request, over hours in which everything happens: some is missed, no more."""
    rules = imported(
        tmp_path,
        base({"refused": True}, "A"),
        base({"model": "big"}, "B"),
        base({"stream": True}, "C"),
        correlation("temporal", ["A", "B"], "Any order", timespan="1h"),
        correlation("temporal_ordered", ["A", "B"], "A then B", timespan="1h"),
        correlation("temporal_ordered", ["C", "A"], "C then A", timespan="5m"),
        base(ANY, "All"),
        correlation("value_count", ["All"], "Agents", timespan="2h", condition={"field": "user_agent", "gte": 4}),
    )
    chance = random.Random(7)
    sent: dict[str, list[tuple[float, Tree]]] = {}
    for number in range(200):
        kinds: list[Tree] = [{"refused": True}, {"model": "big"}, {"stream": True}]
        sent[f"a{number}"] = sorted(
            (
                (chance.uniform(0, 10_000), {**chance.choice(kinds), "user_agent": f"agent-{chance.randint(1, 6)}"})
                for _ in range(chance.randint(1, 8))
            ),
            key=lambda pair: pair[0],
        )
    with Bench() as bench:
        everything = sorted(
            ((at, name, event) for name, own in sent.items() for at, event in own), key=lambda one: one[0]
        )
        bench.add_events(
            [
                {"account_id": name, "timestamp": START + timedelta(seconds=at), **event}
                for at, name, event in everything
            ]
        )
        found = {
            rule_id: set(bench.evaluate(rule, START, START + timedelta(hours=3))["account_id"])
            for rule_id, rule in rules.items()
        }

    def pairs(one: str, other: str, span_s: float, *, ordered: bool) -> set[str]:
        return {
            name
            for name, own in sent.items()
            if any(
                one in first and other in then and (0 < b - a <= span_s if ordered else abs(b - a) <= span_s)
                for a, first in own
                for b, then in own
            )
        }

    agents = {
        name
        for name, own in sent.items()
        if any(len({event["user_agent"] for b, event in own if a <= b < a + 7200}) >= 4 for a, _ in own)
    }
    expected = {
        "sigma_any_order": pairs("refused", "model", 3600, ordered=False),
        "sigma_a_then_b": pairs("refused", "model", 3600, ordered=True),
        "sigma_c_then_a": pairs("stream", "refused", 300, ordered=True),
        "sigma_agents": agents,
    }
    assert found.keys() == expected.keys()
    for rule_id, exactly in expected.items():
        assert found[rule_id] <= exactly, rule_id
        assert len(found[rule_id]) >= 0.7 * len(exactly) > 0, (rule_id, len(found[rule_id]), len(exactly))


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
    with pytest.raises(
        UsageError, match="has sigma_base, other than the file would make it; nothing was written → --force"
    ):
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
    with monkeypatch.context() as without:
        without.setattr("pipeline.cli.rules_sigma.find_spec", lambda _: None)
        assert cli.run(["rules", "import-sigma", str(path)], debug=False) == 78
        assert "install stillwatch[sigma]" in capsys.readouterr().err
    assert cli.run(["rules", "import-sigma", "missing.yml", "--directory", "mine"], debug=False) == 66
    bad = file(tmp_path, base({"endpoint": "x"}))
    assert cli.run(["rules", "import-sigma", str(bad), "--directory", "mine"], debug=False) == 65
    assert "field endpoint" in capsys.readouterr().err
