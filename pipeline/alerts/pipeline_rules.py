"""Rules about the pipeline itself: ``sql/meta/ID.sql`` and ``ID.yml``, looked at by the wall clock.

They speak of no account, make no signals, and must say something when nothing comes: so they run neither behind the
watermark nor when some rule was due. What a look returns stands; what it returns no longer is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import yaml
from pydantic import BaseModel, ConfigDict, Field

from pipeline import logs
from pipeline.alerts.subjects import PIPELINE, Subject
from pipeline.resources import sql_dir
from pipeline.rules.model import DurationOrNone, Parameter, Severity, Tag
from pipeline.rules.run import Tx

LOOK_EVERY_S: Final = 60.0
_PREFIX: Final = f"{PIPELINE}."

_log = logs.get("alerts")


class PipelineMeta(BaseModel):
    """The YAML beside the SQL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    severity: Severity
    pending_for: DurationOrNone = Field(alias="for", description="how long it must last, by the wall clock")
    tags: list[Tag]
    evidence_sql: str
    parameters: dict[str, Parameter]
    false_positives: list[str] = Field(min_length=1)
    limits: list[str] = Field(min_length=1)
    runbook: list[str] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class PipelineRule:
    """One pair of files. ``rule_id`` begins with ``pipeline.``, as no rule's id does."""

    rule_id: str
    meta: PipelineMeta
    sql: str
    needs: frozenset[str]  # what it binds


@dataclass(frozen=True, slots=True)
class Told:
    """What the pipeline knows of itself that does not stand in the store."""

    now: datetime  # wall time
    rules: Sequence[str]  # ids of rules that run
    behind_s: float = 0.0  # how old the deltas were that were applied last; 0: none lately


@dataclass(frozen=True, slots=True)
class PipelineLook:
    """What stands, by key, and of which rules that can be said: one that failed changes nothing."""

    subjects: Mapping[str, Subject]
    looked: frozenset[str]


def load_pipeline_rules(directory: Path | None = None) -> tuple[PipelineRule, ...]:
    """The shipped rules about the pipeline, in the order of their ids.

    Raises:
        ValueError: a file is wrong.
    """
    room = directory or sql_dir("meta")
    found = []
    for path in sorted(room.glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        meta = PipelineMeta.model_validate(yaml.safe_load(path.with_suffix(".yml").read_text(encoding="utf-8")))
        statements = duckdb.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ValueError(f"{path}: exactly one SELECT is needed")
        found.append(PipelineRule(_PREFIX + path.stem, meta, sql, frozenset(statements[0].named_parameters)))
    return tuple(found)


def look(connection: Tx, rules: Sequence[PipelineRule], told: Told) -> PipelineLook:
    """What stands now. Reads only, and outside of the writer's transaction: a rule that fails takes nothing along."""
    subjects: dict[str, Subject] = {}
    looked = set()
    for rule in rules:
        known: Mapping[str, Any] = {
            "now": told.now,
            "rules": list(told.rules),
            "behind_s": told.behind_s,
            **{name: item.default for name, item in rule.meta.parameters.items()},
        }
        bound = {name: known[name] for name in rule.needs}
        try:
            rows = connection.execute(rule.sql, bound).fetchall()
        except duckdb.Error as error:
            _log.error("pipeline_rule_failed", rule=rule.rule_id, error=str(error).splitlines()[0])
            continue
        looked.add(rule.rule_id)
        for row in rows:
            subject = _subject(rule, told.now, *row)
            subjects[subject.key] = subject
    return PipelineLook(subjects, frozenset(looked))


def _subject(rule: PipelineRule, now: datetime, group_key: str, summary: str, first_seen: datetime) -> Subject:
    return Subject(
        rule_id=rule.rule_id,
        group_key=group_key,
        campaign_id=None,
        severity=rule.meta.severity,
        title=rule.meta.title,
        summary=summary,
        accounts=0,
        shown=(),
        score=1.0,
        reasons=[summary],
        evidence_sql=rule.meta.evidence_sql,
        first_seen=first_seen,
        last_seen=now,
        dimension=PIPELINE,
        tags=frozenset(rule.meta.tags),
        pending_for=rule.meta.pending_for,
    )
