"""Checks of a rule about the pipeline itself, as ``rules test`` makes them of every rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import duckdb
import polars as pl

from pipeline.clock import Clock
from pipeline.errors import StillwatchError
from pipeline.rules.check import MOST_SECONDS, Check, left_to_write
from pipeline.rules.load import override
from pipeline.rules.meta import (
    TOLD,
    PipelineCase,
    PipelineReading,
    PipelineRule,
    Standing,
    Told,
    bound,
    moment,
    standing,
)
from pipeline.sql_text import used, view_texts
from pipeline.testing import START, Bench, CaseResult, expand, fill

COLUMNS: Final = (
    ("group_key", "VARCHAR"),
    ("summary", "VARCHAR"),
    ("first_seen", "TIMESTAMP WITH TIME ZONE"),
)


def check_pipeline(read: PipelineReading, *, clock: Clock) -> Iterator[Check]:
    """Every check of a pair of files, as each is done; blocks for as long as its cases take."""
    rule = read.rule
    if rule is None:
        for problem in read.problems:
            yield Check(read.rule_id, "lint", "files", "failed", problem)
        return
    views = ", ".join(sorted(used(rule.sql, view_texts()))) or "no view"
    told = ", ".join(f"${name}" for name in sorted(rule.needs & TOLD)) or "nothing that is told"
    yield Check(rule.rule_id, "lint", "query", "passed", f"one SELECT, reads {views}, binds {told}")
    meta = rule.meta
    texts = {
        "title": [meta.title],
        "description": [meta.description],
        "false_positives": meta.false_positives,
        "limits": meta.limits,
        "runbook": meta.runbook,
        "parameters": [item.description for item in meta.parameters.values()],
    }
    left = left_to_write(texts)
    said = f"empty, or TODO, in {', '.join(left)}" if left else "all is there"
    yield Check(rule.rule_id, "docs", "text", "failed" if left else "passed", said)
    yield _on_nothing(rule)
    yield from _cases(rule, clock)


def run_pipeline_case(rule: PipelineRule, case: PipelineCase) -> CaseResult:
    """Run one case in a store of its own, in memory."""
    now = START + timedelta(seconds=case.now_s)
    with Bench() as bench:
        bench.add_events(
            sorted(
                (event for traffic in case.rows for event, _ in expand(traffic)),
                key=lambda event: str(event["timestamp"]),
            )
        )
        with bench.store.transaction() as tx:
            for rows in case.stored:
                values = [
                    {name: _value(value, number, now) for name, value in rows.row.items()}
                    for number in range(rows.times)
                ]
                tx.insert(rows.table, pl.DataFrame(values))
        told = Told(now, case.told.rules, case.told.behind_s, case.told.broken)
        found = standing(bench.store.connection, override(rule, case.parameters), told)
    return CaseResult(rule.rule_id, case.name, _fits(found, case.expect), _said(found, case.expect))


def _cases(rule: PipelineRule, clock: Clock) -> Iterator[Check]:
    slowest = 0.0
    for case in rule.meta.tests:
        begun_s = clock.monotonic()
        try:
            result = run_pipeline_case(rule, case)
        except (StillwatchError, duckdb.Error) as error:
            yield Check(rule.rule_id, "case", case.name, "failed", str(error).splitlines()[0])
            continue
        slowest = max(slowest, clock.monotonic() - begun_s)
        yield Check(rule.rule_id, "case", case.name, "passed" if result.passed else "failed", result.detail)
    said = f"{slowest:.2f} s at most, of {MOST_SECONDS:g} s, with making what it looks at"
    yield Check(rule.rule_id, "cost", "time", "passed" if slowest <= MOST_SECONDS else "failed", said)


def _on_nothing(rule: PipelineRule) -> Check:
    """An empty store: the columns that are read, in their types, and no row."""
    with Bench() as bench:
        try:
            result = bench.store.connection.execute(rule.sql, dict(bound(rule, Told(START, []))))
            columns = tuple((str(column[0]), str(column[1])) for column in result.description)
            rows = len(result.fetchall())
        except duckdb.Error as error:
            return Check(rule.rule_id, "case", "an empty store", "failed", str(error).splitlines()[0])
    wrong = columns != COLUMNS or rows > 0
    told = ", ".join(f"{name} {kind}" for name, kind in columns)
    return Check(rule.rule_id, "case", "an empty store", "failed" if wrong else "passed", f"{rows} rows; {told}")


def _value(value: Any, number: int, now: datetime) -> Any:
    filled = fill(value, number, 0)
    return (moment(filled, now) or filled) if isinstance(filled, str) else filled


def _fits(found: list[Standing], expect: Mapping[str, str]) -> bool:
    said = {one.group_key: one.summary for one in found}
    return len(said) == len(found) and said.keys() == expect.keys() and all(expect[key] in said[key] for key in said)


def _said(found: list[Standing], expect: Mapping[str, str]) -> str:
    told = "; ".join(f"{one.group_key}: {one.summary}" for one in found) or "nothing is said"
    return f"{told}, expected {', '.join(sorted(expect)) or 'nothing'}"
