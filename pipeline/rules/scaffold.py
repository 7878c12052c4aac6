"""A rule from a question: the pair of files, with everything filled in but its tests."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb

from pipeline.errors import UsageError
from pipeline.rules.lint import problems
from pipeline.rules.load import RULE_ID
from pipeline.rules.model import UNSCORED, RuleFileError
from pipeline.rules.run import OPTIONAL, RESULT
from pipeline.testing import START, Bench

_STRENGTH: Final = "strength"
_ALERT_AT: Final = 0.25  # below the strength that is filled in, so that each match is told
_ALERT_AT_OWN: Final = 0.5  # of strengths that the question gives itself
# What stands for a column that the question does not give.
_FILLED: Final = {
    "dimension": "'account'",
    "entity_id": "account_id",
    "group_key": "'account:' || account_id",
    "strength": f"${_STRENGTH}",
    "first_seen": "$since::timestamptz",
    "last_seen": "$until::timestamptz",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a rule is made from. ``values`` are the defaults of the ``$name`` in the SELECT."""

    rule_id: str
    title: str
    sql: str
    values: Mapping[str, float]
    severity: str = "low"
    evidence: str = UNSCORED
    window: str = "24h"
    hop: str = "6h"
    every: str = "5m"
    owner: str = ""


def write_pair(directory: Path, question: Question) -> tuple[Path, Path]:
    """Write ``ID.sql`` and ``ID.yml`` into a directory, which is made when it is not there; return their paths.

    Raises:
        UsageError: the id is none, or taken there.
        RuleFileError: the SELECT can be no rule; every reason is told.
    """
    if not RULE_ID.fullmatch(question.rule_id):
        raise UsageError(
            f"{question.rule_id!r} is no id of a rule",
            next_step="use lower-case letters, digits, _ and -, a letter first",
        )
    paths = directory / f"{question.rule_id}.sql", directory / f"{question.rule_id}.yml"
    for path in paths:
        if path.exists():
            raise UsageError(f"{path}: there already", next_step="choose another id, or change that file")
    sql = rule_sql(question)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, (sql, _yaml(question, with_strength=f"${_STRENGTH}" in sql)), strict=True):
        # Made, never replaced: somebody else may have been quicker.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    return paths


def rule_sql(question: Question) -> str:
    """The SELECT of the rule: the question itself where it gives all columns of a result, else one around it.

    Raises:
        RuleFileError: it can be no rule.
    """
    asked = question.sql.strip().rstrip(";").rstrip()
    wrong = problems(asked, frozenset(question.values))
    if wrong:
        raise _refused(wrong)
    columns = _columns(asked, question.values)
    head = f"-- {' '.join(question.title.split())}\n"
    if set(RESULT) - OPTIONAL <= set(columns):
        extra = sorted(set(columns) - set(RESULT))
        if extra:
            raise _refused([f"{', '.join(extra)}: a rule has no such column; put it into the reason"])
        return f"{head}{asked}\n"
    if "account_id" not in columns:
        raise _refused(["no column account_id: a rule speaks about accounts; write, for one, entity_id as account_id"])
    told = [name for name in columns if name not in RESULT]
    filled = {**_FILLED, "reason": _reason(question.title, told)}
    shown = [
        name if name in columns else f"{filled[name]} as {name}" for name in RESULT if name in columns or name in filled
    ]
    inner = "\n".join(f"    {line}".rstrip() for line in asked.splitlines())
    outer = ",\n".join(f"    {line}" for line in shown)
    return f"{head}with\nasked as (\n{inner}\n)\n\nselect\n{outer}\nfrom asked\nwhere account_id is not null\n"


def _reason(title: str, columns: list[str]) -> str:
    said = " ".join(title.split()).rstrip("?.").replace("'", "''")
    if not columns:
        return f"'{said}.'"
    parts = [f"'{name} ' || coalesce({_quoted(name)}::varchar, 'unknown')" for name in columns]
    return f"'{said}: '\n    || " + "\n    || ', ' || ".join(parts)


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'


def _columns(sql: str, values: Mapping[str, float]) -> list[str]:
    """Names of what the SELECT gives, from an empty store.

    Raises:
        RuleFileError: it cannot be run.
    """
    bound = {**values, "since": START - timedelta(days=1), "until": START}
    with Bench() as bench, bench.store.reading() as connection:
        try:
            found = [str(column[0]) for column in connection.execute(sql, bound).description or ()]
        except duckdb.Error as error:
            raise _refused([str(error)]) from error
    if len(set(found)) < len(found):
        raise _refused(["two columns of one name"])
    return found


def _refused(wrong: list[str]) -> RuleFileError:
    text = "; ".join(wrong)
    if "is bound and not declared" in text:
        step = "give each a default: --param NAME=NUMBER"
    elif "$since" in text or "$until" in text:
        step = "bound the window by the view's time: where window_start >= $since and window_start < $until"
    else:
        step = "try it by `stillwatch sql`; docs/rules.md says what a rule may be"
    return RuleFileError(f"this can be no rule: {text}", next_step=step)


def _range(value: float) -> str:
    low, high = sorted((0.0, 10 * value)) if value else (0.0, 1.0)
    return f"min: {low:g}, max: {high:g}"


def _yaml(question: Question, *, with_strength: bool) -> str:
    quoted = {name: json.dumps(" ".join(text.split()), ensure_ascii=False) for name, text in (
        ("title", question.title), ("owner", question.owner)
    )}  # fmt: skip
    lines = [
        f"  {name}: {{default: {value:g}, {_range(value)}, description: the ${name} of the question}}"
        for name, value in question.values.items()
    ]
    if with_strength:
        lines.append(
            f"  {_STRENGTH}: {{default: 0.3, min: 0.05, max: 0.89, "
            "description: how much a match says; like a probability}"
        )
    parameters = "parameters:" + ("\n" + "\n".join(lines) if lines else " {}")
    return _TEMPLATE.format(
        rule_id=question.rule_id,
        title=quoted["title"],
        owner=quoted["owner"],
        severity=question.severity,
        evidence=question.evidence,
        alert_at=_ALERT_AT if with_strength else _ALERT_AT_OWN,
        window=question.window,
        hop=question.hop,
        every=question.every,
        parameters=parameters,
    )


_TEMPLATE: Final = """# What {rule_id}.sql is for. docs/rules.md explains the fields, `rules test` checks them.
title: {title}
# For whoever is woken by it: what it sees, and why that matters.
description: {title}
severity: {severity} # low, medium, high, critical
confidence: low # low, medium, high: how sure a match alone makes one
status: experimental # experimental, test, stable, deprecated
owner: {owner}
tags: [own] # by which alerts are routed
# unscored: counts towards no score, since nobody measured how many benign accounts show it. Others (likeness, content,
# timing, lifecycle, infrastructure, identity, usage) add up to names: run `stillwatch calibrate` before you choose one.
evidence: {evidence}
dimension: account
window: {window} # how far back a window reaches
hop: {hop} # windows end at multiples of it
every: {every} # how often a window that still fills is looked at
for: 0 # how long it must match before it alerts
keep_firing_for: 1h # how long it must not match before its alert is over
# match: a match of alert_at or more opens an alert of its own; finding: it counts towards scores only.
alert: match
alert_at: {alert_at:g}
{parameters}
references:
  - Own observation
false_positives:
  - None known yet
limits:
  - Not tried on traffic of a whole month yet
runbook:
  - Look at what the account did (stillwatch explain account ID)
# What goes in, and what must come out: a case that fires and a look-alike that must not, at least. Take the # away and
# write what happened; events are those of docs/events.md, {{i}} is the account's number and {{j}} the event's.
tests:
#  - name: three accounts do it
#    rows:
#      - accounts: 3
#        events: 60
#        event_step_s: 60
#        event: {{account_id: "acct_{{i}}", prompt: "Explain {{j}}", output_tokens: 900}}
#    expect: {{accounts: 3}}
#  - name: somebody who does a little of it
#    rows:
#      - accounts: 1
#        events: 3
#        event: {{account_id: "acct_{{i}}", prompt: "Explain {{j}}", output_tokens: 900}}
#    expect: {{accounts: 0}}
"""
