"""A look at the pipeline itself, by the rules of ``sql/meta``: what stands, as subjects of alerts.

What a look returns stands; what it returns no longer is over, and so is all of a rule that runs no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from pipeline import logs
from pipeline.alerts.subjects import Subject
from pipeline.rules.meta import PIPELINE, PipelineRule, Standing, Told, standing
from pipeline.rules.run import Tx

_log = logs.get("alerts")


@dataclass(frozen=True, slots=True)
class PipelineLook:
    """What stands, by key; and of which rules nothing can be said: one that failed changes nothing."""

    subjects: Mapping[str, Subject]
    failed: frozenset[str] = frozenset()


def look(
    connection: Tx, rules: Iterable[PipelineRule], told: Told, *, missing: frozenset[str] = frozenset()
) -> PipelineLook:
    """What stands now. Reads only, and outside of the writer's transaction: a rule that fails takes nothing along.

    ``missing``: of which rules nothing can be said either, because their files cannot be read.
    """
    subjects: dict[str, Subject] = {}
    failed = set(missing)
    for rule in rules:
        try:
            found = standing(connection, rule, told)
        except duckdb.Error as error:
            _log.error("pipeline_rule_failed", rule=rule.rule_id, error=str(error).splitlines()[0])
            failed.add(rule.rule_id)
            continue
        for one in found:
            subject = _subject(rule, one, told.now)
            subjects[subject.key] = subject
    return PipelineLook(subjects, frozenset(failed))


def _subject(rule: PipelineRule, found: Standing, now: datetime) -> Subject:
    return Subject(
        rule_id=rule.rule_id,
        group_key=found.group_key,
        campaign_id=None,
        severity=rule.meta.severity,
        title=rule.meta.title,
        summary=found.summary,
        accounts=0,
        shown=(),
        score=1.0,
        reasons=[found.summary],
        evidence_sql=rule.meta.evidence_sql,
        first_seen=found.first_seen,
        last_seen=now,
        dimension=PIPELINE,
        tags=frozenset(rule.meta.tags),
        pending_for=rule.meta.pending_for,
    )
