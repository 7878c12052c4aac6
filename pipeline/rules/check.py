"""Checks of a pair of files before anybody relies on it: lint, documentation, cases, and what a look costs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Literal

import duckdb

from pipeline.clock import Clock
from pipeline.errors import StillwatchError
from pipeline.rules.lint import ALLOWED_VIEWS
from pipeline.rules.load import Reading, override
from pipeline.rules.model import Case, Rule
from pipeline.sql_text import used, view_texts
from pipeline.testing import Bench, case_bench, judge_case

State = Literal["passed", "failed", "note"]
MOST_SECONDS: Final = 10.0  # what a look at a case may take; a case is some thousand events
MANY_PAIRS: Final = 10_000  # shipped rules go through 3,000 in their largest cases
_TODO: Final = re.compile(r"\bTODO\b")
# Each pair of rows is gone through: cheap for a few, the end of a look for 100,000 accounts.
_PAIRS: Final = frozenset({"CROSS_PRODUCT", "BLOCKWISE_NL_JOIN", "NESTED_LOOP_JOIN"})


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one rule. A note asks for attention and fails nothing."""

    rule_id: str
    kind: Literal["lint", "docs", "case", "cost"]
    name: str
    state: State
    detail: str


def check(read: Reading, *, clock: Clock) -> Iterator[Check]:
    """Every check of a pair of files, as each is done; blocks for as long as its cases take.

    Args:
        read: the pair.
        clock: by which looks are measured.
    """
    rule = read.rule
    if rule is None:
        for problem in read.problems:
            yield Check(read.rule_id, "lint", "files", "failed", problem)
        return
    views = sorted(used(rule.sql, view_texts()) & ALLOWED_VIEWS)
    yield Check(
        rule.rule_id, "lint", "query", "passed", f"one SELECT, window bound, reads {', '.join(views) or 'macros'}"
    )
    yield from _documented(rule)
    yield from _cases(rule, clock)


def left_to_write(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Those of the named texts of which a line is empty, or says TODO."""
    return [name for name, lines in texts.items() if any(_TODO.search(line) or not line.strip() for line in lines)]


def _documented(rule: Rule) -> Iterator[Check]:
    meta = rule.meta
    texts = {
        "title": [meta.title],
        "description": [meta.description],
        "references": meta.references,
        "false_positives": meta.false_positives,
        "limits": meta.limits,
        "runbook": meta.runbook,
        "parameters": [item.description for item in meta.parameters.values()],
    }
    left = left_to_write(texts)
    if left:
        yield Check(rule.rule_id, "docs", "text", "failed", f"empty, or TODO, in {', '.join(left)}")
    missing = [
        name for name, there in (("owner", meta.owner), ("limits", meta.limits), ("tags", meta.tags)) if not there
    ]
    if missing:
        yield Check(rule.rule_id, "docs", "fields", "note", f"worth having: {', '.join(missing)}")
    if not left and not missing:
        yield Check(rule.rule_id, "docs", "text", "passed", f"{meta.status}, kept by {meta.owner}")


def _cases(rule: Rule, clock: Clock) -> Iterator[Check]:
    slowest, slowest_case, pairs = 0.0, "", 0
    for case in rule.meta.tests:
        try:
            with case_bench(case) as bench:
                begun_s = clock.monotonic()
                result = judge_case(rule, case, bench)
                seconds = clock.monotonic() - begun_s
                found = _pairs_formed(rule, case, bench)
        except StillwatchError as error:
            yield Check(rule.rule_id, "case", case.name, "failed", error.message)
            continue
        state: State = "passed" if result.passed else "failed"
        yield Check(rule.rule_id, "case", case.name, state, result.detail)
        pairs = max(pairs, found)
        if seconds >= slowest:
            slowest, slowest_case = seconds, case.name
    if slowest_case:
        said = f"{slowest:.2f} s at most, of {MOST_SECONDS:g} s ({slowest_case})"
        yield Check(rule.rule_id, "cost", "time", "passed" if slowest <= MOST_SECONDS else "failed", said)
    if pairs >= MANY_PAIRS:
        said = (
            f"a join without an equality went through {pairs:,} pairs of rows; with ten times the accounts, a hundred"
        )
        yield Check(rule.rule_id, "cost", "plan", "note", f"{said} times as many")


def _pairs_formed(rule: Rule, case: Case, bench: Bench) -> int:
    """How many pairs of rows the look's joins went through, at most in one of them; measured, not estimated."""
    chosen = override(rule, case.parameters)
    bound = {**chosen.parameters, "since": bench.watermark - rule.meta.window, "until": bench.watermark}
    with bench.store.reading() as connection:
        try:
            row = connection.execute(f"explain (analyze, format json) {chosen.sql}", bound).fetchone()
        except duckdb.Error:
            return 0  # it ran; that it cannot be measured is no fault of the rule
    return max(map(_pairs, _nodes(json.loads(row[1]) if row else {})), default=0)


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    waiting = list(plan) if isinstance(plan, list) else [plan]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("children", [])


def _pairs(node: dict[str, Any]) -> int:
    if str(node.get("operator_type", "")).strip() not in _PAIRS:
        return 0
    return prod(int(child.get("operator_cardinality", 0)) for child in node.get("children", []))
