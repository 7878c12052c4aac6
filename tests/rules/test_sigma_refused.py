"""What cannot be expressed of a Sigma rule is refused by name, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.rules.sigma_rules import ANY, COUNT, Tree, base, correlation, refused

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
