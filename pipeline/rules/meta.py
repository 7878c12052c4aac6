"""Rules about the pipeline itself, ``sql/meta/ID.sql`` and ``ID.yml``: what they say about themselves, and a look.

They speak of no account, make no signals, and must say something when nothing comes: so they are looked at by the wall
clock. Otherwise they are rules: they have ids (``pipeline.ID``), parameters within ranges, cases, and can be disabled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Self

import duckdb
import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.resources import rule_files, sql_dir
from pipeline.rules.model import CaseSeconds, DurationOrNone, Parameter, Severity, Tag, Traffic, duration, out_of_range
from pipeline.rules.run import Tx
from pipeline.rules.strict_yaml import read_model

PIPELINE: Final = "pipeline"  # dimension of alerts about the pipeline itself
RECEIVERS: Final = "receivers"  # their file, where it is broken; what else is broken is of rules
PREFIX: Final = f"{PIPELINE}."  # no other rule's id has a dot
LOOK_EVERY_S: Final = 60.0
TOLD: Final = frozenset({"now", "rules", "behind_s", "broken"})  # what each of them may bind, beside its parameters


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredRows(_Part):
    """Rows of a table of the store, alike but for ``{i}``, their number.

    ``now-9m`` and the like is a moment that far from the case's.
    """

    table: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    times: int = Field(1, gt=0, le=5000)
    row: dict[Annotated[str, Field(pattern=r"^[a-z_]+$")], Any] = Field(min_length=1)


class CaseTold(_Part):
    """What the pipeline knows of itself in a case; see ``Told``."""

    rules: list[str] = ["mine"]
    behind_s: float = Field(0.0, ge=0)
    broken: dict[str, str] = {}


class PipelineCase(_Part):
    """Events and rows in; what stands then, by key, with a part of what is said. ``{}``: nothing does."""

    name: str
    rows: list[Traffic] = []
    stored: list[StoredRows] = []
    told: CaseTold = CaseTold()
    now_s: CaseSeconds = Field(0, description="when it is looked, in seconds after the case's start")
    parameters: dict[str, float] = {}
    expect: dict[str, str]


class PipelineMeta(_Part):
    """The YAML beside the SQL."""

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
    tests: list[PipelineCase] = Field(min_length=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not any(case.expect for case in self.tests):
            raise ValueError("tests: at least one case must fire")
        if all(case.expect for case in self.tests):
            raise ValueError("tests: at least one look-alike must not fire")
        for case in self.tests:
            problems = out_of_range(case.parameters, self.parameters)
            if problems:
                raise ValueError(f"tests: {case.name}: {'; '.join(problems)}")
        return self


@dataclass(frozen=True, slots=True)
class PipelineRule:
    """One pair of files, checked. ``sql`` binds what is in ``needs``: parameters, and some of TOLD."""

    rule_id: str
    meta: PipelineMeta
    sql: str
    parameters: Mapping[str, float]
    origin: str
    needs: frozenset[str]

    @property
    def version(self) -> str:
        """What tells one text and set of parameters from another: digits of their SHA-256."""
        parameters = msgspec.json.encode(dict(sorted(self.parameters.items())))
        return hashlib.sha256(f"{self.sql}\0".encode() + parameters).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class PipelineReading:
    """One pair of files as it was read: the rule, or what is wrong with it."""

    rule_id: str
    rule: PipelineRule | None
    problems: tuple[str, ...]


def read_pipeline_rules(directory: Path | None = None) -> list[PipelineReading]:
    """Every pair of ``sql/meta`` (or of another directory), in the order of their ids."""
    room = directory or sql_dir("meta")
    return [_read_pair(room / stem) for stem in sorted({path.stem for path in rule_files(room)})]


def _read_pair(base: Path) -> PipelineReading:
    rule_id = PREFIX + base.name
    meta, wrong = read_model(base.with_suffix(".yml"), PipelineMeta)
    try:
        sql = base.with_suffix(".sql").read_text(encoding="utf-8")
        statements = duckdb.extract_statements(sql)
    except (OSError, UnicodeDecodeError, duckdb.Error) as error:
        return PipelineReading(rule_id, None, tuple(f"{base}{one}" for one in (*wrong, f".sql: {_line(error)}")))
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        wrong.append(".sql: exactly one SELECT is needed")
    if wrong or meta is None:
        return PipelineReading(rule_id, None, tuple(f"{base}{one}" for one in wrong))
    needs, declared = frozenset(statements[0].named_parameters), meta.parameters.keys()
    wrong += [f".sql: ${name} is not used: bind it" for name in sorted(declared - needs)]
    wrong += [f".sql: ${name} is bound and not declared under parameters" for name in sorted(needs - declared - TOLD)]
    defaults = {name: item.default for name, item in meta.parameters.items()}
    rule = None if wrong else PipelineRule(rule_id, meta, sql, defaults, str(base), needs)
    return PipelineReading(rule_id, rule, tuple(f"{base}{one}" for one in wrong))


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, slots=True)
class Told:
    """What the pipeline knows of itself that does not stand in the store."""

    now: datetime  # wall time
    rules: Sequence[str]  # ids of rules that run
    behind_s: float = 0.0  # how old the deltas were that were applied last; 0: none lately
    broken: Mapping[str, str] = field(default_factory=dict)  # "rule:ID", "settings" or RECEIVERS: what is wrong there


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that a rule about the pipeline says. ``group_key`` tells it from others of the rule."""

    group_key: str
    summary: str
    first_seen: datetime


def bound(rule: PipelineRule, told: Told) -> Mapping[str, Any]:
    """What the rule's SELECT is asked with."""
    known: Mapping[str, Any] = {
        "now": told.now,
        "rules": list(told.rules),
        "behind_s": told.behind_s,
        "broken": [{"what": what, "why": why} for what, why in told.broken.items()],
        **rule.parameters,
    }
    return {name: known[name] for name in rule.needs}


def standing(connection: Tx, rule: PipelineRule, told: Told) -> list[Standing]:
    """What a rule says now. Reads only.

    Raises:
        duckdb.Error: its SELECT fails.
    """
    return [Standing(*row) for row in connection.execute(rule.sql, dict(bound(rule, told))).fetchall()]


def moment(text: str, now: datetime) -> datetime | None:
    """``now``, ``now-9m``, ``now+2h`` as a moment; None: it is none of these."""
    if text == "now":
        return now
    sign = text[3:4]
    if not text.startswith("now") or sign not in {"+", "-"}:
        return None
    try:
        span = duration(text[4:])
    except ValueError:
        return None
    return now + span if sign == "+" else now - span
