"""What a rule says about itself: the fields of its YAML, checked, and the rule as it is run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from pipeline.errors import StillwatchError

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")

Confidence = Literal["low", "medium", "high"]
Status = Literal["experimental", "test", "stable", "deprecated"]

# Rules of one kind of evidence look at the same facts from two sides: their strengths never add up. What is unscored
# is told of by an alert of its own and counts towards no score: nobody measured how many benign accounts show it.
Evidence = Literal["likeness", "content", "timing", "lifecycle", "infrastructure", "identity", "usage", "unscored"]
UNSCORED: Final = "unscored"

_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_TAG: Final = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_MAX_TAG: Final = 64
_MAX_TAGS: Final = 20
_MAX_OWNER: Final = 80
_LONGEST: Final = timedelta(days=400)
_MOST_EVENTS: Final = 50_000  # of a case: each goes through the real decoder
_LONGEST_PENDING: Final = timedelta(days=7)  # so long signals count
_LONGEST_KEPT: Final = timedelta(days=30)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class RuleFileError(StillwatchError):
    """Rules that cannot be used; every problem of every file is in the message, one a line."""

    exit_code = 65


def duration(value: object) -> timedelta:
    """Read ``90s``, ``5m``, ``24h`` or ``7d``.

    Raises:
        ValueError: it is none of these, zero, or longer than anything is kept.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{value!r} is no duration; write 90s, 5m, 24h or 7d")
    try:
        found = timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        found = timedelta.max
    if found > _LONGEST:
        raise ValueError(f"{value} is longer than {_LONGEST.days}d")
    return found


def duration_or_none(value: object) -> timedelta:
    """As ``duration``, and ``0`` (or ``0s``, ``0m`` …) for no time at all.

    Raises:
        ValueError: it is none of these.
    """
    if value == 0 or (isinstance(value, str) and re.fullmatch(r"0+[smhd]?", value)):
        return timedelta()
    return duration(value)


def _tag(value: str) -> str:
    if len(value) > _MAX_TAG or not _TAG.fullmatch(value):
        raise ValueError(f"{value!r} is no tag; write lower-case words, joined by - or .: account-pool, aa26-251a.g11")
    return value


def _line(value: str) -> str:
    if len(value) > _MAX_OWNER or not value.isprintable() or value != value.strip():
        raise ValueError(f"one line of at most {_MAX_OWNER} characters, such as a team's name")
    return value


Duration = Annotated[timedelta, BeforeValidator(duration)]
DurationOrNone = Annotated[timedelta, BeforeValidator(duration_or_none)]
Tag = Annotated[str, AfterValidator(_tag)]
Line = Annotated[str, AfterValidator(_line)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parameter(_Part):
    """A number that the SQL binds as ``$name`` and that a user may override within its range."""

    default: FiniteFloat
    min: FiniteFloat
    max: FiniteFloat
    description: str

    @model_validator(mode="after")
    def _within(self) -> Self:
        if not self.min <= self.default <= self.max:
            raise ValueError(f"default {self.default:g} is outside {self.min:g}…{self.max:g}")
        return self


NotNegative = Annotated[int, Field(ge=0)]
CaseSeconds = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]


class Traffic(_Part):
    """Events of a case, written once for many accounts; ``{i}`` is the account's number, ``{j}`` the event's.

    A list stands for its item number ``i + j`` in fields of an event, and number ``i`` elsewhere, going round.
    """

    accounts: int = Field(1, gt=0, le=5000)
    events: NotNegative | Annotated[list[NotNegative], Field(min_length=1)] = 1
    start_s: CaseSeconds = 0
    account_step_s: CaseSeconds = 0
    event_step_s: CaseSeconds | Annotated[list[CaseSeconds], Field(min_length=1)] = 60
    burst: int = Field(1, gt=0, description="so many events come at once, then a step")
    event: dict[str, Any]
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def most_events(self) -> int:
        """Events of all its accounts, if each had as many as the one with most."""
        return self.accounts * (max(self.events) if isinstance(self.events, list) else self.events)


class KnownItems(_Part):
    """A known set of a case: ``text`` filled for ``{i}`` below ``parts`` and ``{j}`` below ``items``."""

    name: str
    text: str
    parts: int = Field(1, gt=0, le=500)
    items: int = Field(1, gt=0, le=500)


class Released(_Part):
    """A release of a case: when, in seconds after the case's start."""

    model: str
    at_s: float = 0


class Expected(_Part):
    """What must come out of a case. Accounts are counted once whatever the number of their rows."""

    accounts: int = Field(ge=0)
    min_strength: float = Field(0.0, ge=0, le=1)
    max_strength: float = Field(1.0, ge=0, le=1)


class Case(_Part):
    """Rows in, matches out."""

    name: str
    rows: list[Traffic] = Field(min_length=1)
    corpora: list[KnownItems] = Field(default_factory=list)
    releases: list[Released] = Field(default_factory=list)
    parameters: dict[str, float] = Field(default_factory=dict)
    expect: Expected

    @model_validator(mode="after")
    def _small(self) -> Self:
        events = sum(traffic.most_events for traffic in self.rows)
        if events > _MOST_EVENTS:
            raise ValueError(f"{events} events; a case has {_MOST_EVENTS} at most")
        return self


class RuleMeta(_Part):
    """The YAML beside the SQL."""

    title: str
    description: str
    severity: Severity
    confidence: Confidence = Field("medium", description="how sure a match alone makes one")
    status: Status = Field("experimental", description="how far it is tried; none is left out for it")
    owner: Line = Field("", description="whom to ask about it")
    tags: list[Tag] = Field(default_factory=list, max_length=_MAX_TAGS, description="by which alerts are routed")
    evidence: Evidence
    dimension: str
    window: Duration = Field(description="how far back from its end a window reaches")
    hop: Duration = Field(description="windows end at multiples of it; the last one is looked at while it still fills")
    every: Duration = Field(description="how often, in event time, a window that still fills is looked at")
    pending_for: DurationOrNone = Field(
        timedelta(), alias="for", description="how long, in event time, it must match before it alerts"
    )
    keep_firing_for: DurationOrNone = Field(
        timedelta(hours=1), description="how long, in event time, it must not match before its alert is over"
    )
    live: bool = Field(
        default=False,
        description="serve looks in between as well, as soon as something came, each second at most; what it found so "
        "stands until the next look",
    )
    alert: Literal["finding", "match"] = Field(
        "finding", description="finding: counts towards scores; match: also opens an alert of its own"
    )
    alert_at: float = Field(0.9, gt=0, lt=1, description="strength from which a match opens an alert")
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    references: list[str] = Field(min_length=1)
    false_positives: list[str] = Field(min_length=1)
    limits: list[str] = Field(default_factory=list, description="what it does not see")
    runbook: list[str] = Field(min_length=1)
    tests: Annotated[list[Case], BeforeValidator(lambda value: [] if value is None else value)] = Field(min_length=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        minute = timedelta(minutes=1)
        if self.every % minute or self.hop % self.every:
            raise ValueError("every must be whole minutes, and hop a multiple of every")
        if self.window < self.hop:
            raise ValueError("window must be at least hop, or events between two windows are never looked at")
        if self.evidence == UNSCORED and self.alert != "match":
            raise ValueError("evidence: unscored counts towards no score, so nobody is told of it without alert: match")
        if self.live and self.alert != "match":
            raise ValueError("live: true is for rules that alert by themselves; add alert: match")
        if self.pending_for > _LONGEST_PENDING:
            raise ValueError(f"for: {_LONGEST_PENDING.days}d at most")
        if self.keep_firing_for > _LONGEST_KEPT:
            raise ValueError(f"keep_firing_for: {_LONGEST_KEPT.days}d at most")
        twice = sorted({tag for tag in self.tags if self.tags.count(tag) > 1})
        if twice:
            raise ValueError(f"tags: {', '.join(twice)} twice")
        if not any(case.expect.accounts for case in self.tests):
            raise ValueError("tests: at least one case must fire")
        if all(case.expect.accounts and case.expect.max_strength >= self.alert_at for case in self.tests):
            raise ValueError("tests: at least one look-alike must not fire, or stay weak")
        for case in self.tests:
            problems = list(out_of_range(case.parameters, self.parameters))
            if problems:
                raise ValueError(f"tests: {case.name}: {'; '.join(problems)}")
        return self


def out_of_range(values: Mapping[str, float], declared: Mapping[str, Parameter]) -> list[str]:
    """What is wrong with parameters given for a rule: unknown names and values outside the declared range."""
    problems = []
    for name, value in values.items():
        if name not in declared:
            problems.append(f"no parameter {name}")
        elif not declared[name].min <= value <= declared[name].max:
            problems.append(f"{name} = {value:g} is outside {declared[name].min:g}…{declared[name].max:g}")
    return problems


@dataclass(frozen=True, slots=True)
class Window:
    """What one evaluation looks at: ``[since, until)``. ``end`` names it; ``until`` is earlier while it still fills."""

    since: datetime
    until: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule. ``sql`` binds exactly ``$since``, ``$until`` and the names in ``parameters``.

    ``behind``: the code of the macros that it rests on.
    """

    rule_id: str
    meta: RuleMeta
    sql: str
    parameters: Mapping[str, float]
    origin: str
    behind: str = ""
    shipped: bool = False

    @property
    def text(self) -> str:
        """What tells one text, with what it rests on, from another, whatever its parameters."""
        return hashlib.sha256(f"{self.sql}\0{self.behind}".encode()).hexdigest()[:12]

    @property
    def version(self) -> str:
        """What tells one text, with what it rests on, and set of parameters from another: digits of their SHA-256."""
        parameters = msgspec.json.encode(dict(sorted(self.parameters.items())))
        return hashlib.sha256(f"{self.sql}\0{self.behind}\0".encode() + parameters).hexdigest()[:12]
