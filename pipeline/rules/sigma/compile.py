"""One Sigma rule → the text of a rule of ours: its SELECT, and the tree of its YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
)
from sigma.rule import SigmaLevel, SigmaRule, SigmaStatus

from pipeline.rules.model import Severity
from pipeline.rules.sigma.cases import Case, event_cases, sequence_cases, value_cases
from pipeline.rules.sigma.condition import Node, read_condition, some
from pipeline.rules.sigma.fields import BY_NAME, Entity, Field
from pipeline.rules.sigma.query import Order, Span, count_events, count_values, sequence
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.selection import Selection, axis_key, select

PRODUCT: Final = "stillwatch"
LEVELS: Final[Mapping[SigmaLevel, tuple[Severity, float]]] = {
    SigmaLevel.INFORMATIONAL: ("low", 0.1),
    SigmaLevel.LOW: ("low", 0.3),
    SigmaLevel.MEDIUM: ("medium", 0.5),
    SigmaLevel.HIGH: ("high", 0.7),
    SigmaLevel.CRITICAL: ("critical", 0.9),
}
LONGEST_S: Final = 7 * 86_400
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_MOST_PARTS: Final = 8
_HIGHEST: Final = 1_000_000_000
_ID_CHARS: Final = 56  # after sigma_; an id has 63 at most
_TAG_CHARS: Final = 64
_MOST_TAGS: Final = 20
_ORDERS: Final[Mapping[SigmaCorrelationType, Order]] = {
    SigmaCorrelationType.TEMPORAL: "any",
    SigmaCorrelationType.TEMPORAL_ORDERED: "given",
}
_COUNTED: Final = {SigmaCorrelationType.EVENT_COUNT, SigmaCorrelationType.VALUE_COUNT}
_STATUSES: Final = {
    None: "experimental",
    SigmaStatus.EXPERIMENTAL: "experimental",
    SigmaStatus.TEST: "test",
    SigmaStatus.STABLE: "stable",
    SigmaStatus.DEPRECATED: "deprecated",
}

SigmaAny = SigmaRule | SigmaCorrelationRule


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is written: ``ID.sql`` and the tree of ``ID.yml``."""

    rule_id: str
    title: str
    sql: str
    tree: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Body:
    sql: str
    dimension: Entity
    span: Span
    cases: Sequence[Case]
    parameters: Mapping[str, Any]
    limits: Sequence[str]
    parts: Sequence[SigmaRule] = ()  # rules that it correlates


def compile_rule(rule: SigmaAny) -> Compiled:
    """Put a rule, with those that it refers to, into SQL and YAML.

    Raises:
        NotExpressibleError: something of it that what is stored cannot answer.
        SigmaError: its condition is none.
    """
    title = one_line(rule.title)
    severity, strength = LEVELS[rule.level or SigmaLevel.MEDIUM]
    if rule.status not in _STATUSES:
        raise NotExpressibleError(
            f"status {rule.status.name.lower() if rule.status else None}", "give it another status"
        )
    body = _event(rule, strength, title) if isinstance(rule, SigmaRule) else _correlation(rule, strength, title)
    return Compiled(rule_id(rule), title, _commented(title, body.sql), _tree(rule, title, severity, strength, body))


def rule_id(rule: SigmaAny) -> str:
    """The name of its files: letters, digits and underscores of its title, whatever else that holds.

    Raises:
        NotExpressibleError: nothing is left.
    """
    words = re.sub(r"[^a-z0-9]+", "_", one_line(rule.title).lower()).strip("_")[:_ID_CHARS].strip("_")
    if not words:
        raise NotExpressibleError(
            "a title without letters or digits of ASCII", "give it one; its files are named by it"
        )
    return f"sigma_{words}"


def one_line(text: str | None) -> str:
    """Text without line breaks and control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text or "").split())


def _event(rule: SigmaRule, strength: float, title: str) -> _Body:
    """A rule by itself tells of every account with a request that it selects."""
    selection = select(_read(rule), "account")
    span = Span(_HOUR_S if selection.by_hour else 60, selection.by_hour)
    sql = count_events(selection, "account", span, strength=strength, told=title)
    cases = event_cases(selection, "account", span, 1)
    return _Body(sql, "account", span, cases, _threshold(1, "requests"), _limits(span, [selection]))


def _correlation(rule: SigmaCorrelationRule, strength: float, title: str) -> _Body:
    if rule.aliases is not None and rule.aliases.aliases:
        raise NotExpressibleError("aliases", "name the fields alike: every rule reads the same events")
    parts = _parts(rule)
    entity = _entity(rule.group_by)
    if rule.type in _ORDERS:
        return _sequence(rule, parts, entity, strength)
    if rule.type not in _COUNTED:
        raise NotExpressibleError(
            f"correlation type {rule.type.name.lower()}", "event_count, value_count, temporal or temporal_ordered"
        )
    condition = rule.condition
    assert isinstance(condition, SigmaCorrelationCondition)  # pySigma has looked
    threshold = _asked_count(condition)
    selection = select(some(*(_read(part) for part in parts)), entity)
    if rule.type is SigmaCorrelationType.EVENT_COUNT:
        span = _span(rule, by_hour=selection.by_hour)
        sql = count_events(selection, entity, span, strength=strength, told=title)
        cases = event_cases(selection, entity, span, threshold)
        return _Body(sql, entity, span, cases, _threshold(threshold, "requests"), _limits(span, [selection]), parts)
    field = _counted_field(condition.fieldref, entity, selection)
    span = _span(rule, by_hour=field.role == "thing", sketched=field.role == "sketch")
    sql = count_values(selection, field, entity, span, strength=strength, told=title)
    cases = value_cases(selection, field, entity, span, threshold)
    limits = _limits(span, [selection], sketched=field.role == "sketch")
    return _Body(sql, entity, span, cases, _threshold(threshold, f"different {field.name}"), limits, parts)


def _sequence(rule: SigmaCorrelationRule, parts: Sequence[SigmaRule], entity: Entity, strength: float) -> _Body:
    condition = rule.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        raise NotExpressibleError("a condition in words", "leave it out: all of its rules must match")
    if (condition.op, condition.count) != (SigmaCorrelationConditionOperator.GTE, len(parts)):
        raise NotExpressibleError(
            f"condition {condition.op.name.lower()}: {condition.count}", "leave it out: all of its rules must match"
        )
    if not 2 <= len(parts) <= _MOST_PARTS:
        raise NotExpressibleError(f"{len(parts)} rules to correlate", f"from 2 to {_MOST_PARTS}")
    order = _ORDERS[rule.type]
    selections = [select(_read(part), entity) for part in parts]
    span = _span(rule, by_hour=any(selection.by_hour for selection in selections))
    titles = [one_line(part.title) for part in parts]
    joined = (", then " if order == "given" else " and ").join(f"“{title}”" for title in titles)
    sql = sequence(selections, entity, span, order, strength=strength, told=joined)
    cases = sequence_cases(selections, entity, span, order, titles)
    return _Body(sql, entity, span, cases, {}, _limits(span, selections, sequence=True), parts)


def _read(rule: SigmaRule) -> Node:
    source = rule.logsource
    named = {"product": source.product, "service": source.service, "category": source.category}
    if named != {"product": PRODUCT, "service": None, "category": None}:
        shown = ", ".join(f"{name}: {value}" for name, value in named.items() if value is not None)
        raise NotExpressibleError(f"logsource {shown or 'none'} is not ours", f"write product: {PRODUCT} and no more")
    return read_condition(rule)


def _parts(rule: SigmaCorrelationRule) -> list[SigmaRule]:
    parts = []
    for reference in rule.referenced_rules:
        if not isinstance(reference.rule, SigmaRule):
            raise NotExpressibleError(
                f"{reference.reference}: a correlation of correlations", "correlate rules of events"
            )
        parts.append(reference.rule)
    if not parts:
        raise NotExpressibleError("a correlation of no rules", "name rules of the same file under rules")
    return parts


def _entity(group_by: Sequence[str] | None) -> Entity:
    if not group_by:
        raise NotExpressibleError("no group-by", "group by account_id: a rule speaks about accounts")
    names = {BY_NAME[name].name if name in BY_NAME else name for name in group_by}
    if names == {"account_id"}:
        return "account"
    if names in ({"api_key_id"}, {"account_id", "api_key_id"}):
        return "api_key"
    raise NotExpressibleError(f"group-by {', '.join(group_by)}", "group by account_id, or by api_key_id")


def _asked_count(condition: SigmaCorrelationCondition) -> int:
    more = {SigmaCorrelationConditionOperator.GTE: 0, SigmaCorrelationConditionOperator.GT: 1}
    if condition.op not in more:
        raise NotExpressibleError(
            f"condition {condition.op.name.lower()}: {condition.count}", "gte or gt: what did not happen is not seen"
        )
    if not isinstance(condition.count, int) or not 1 <= condition.count + more[condition.op] <= _HIGHEST:
        raise NotExpressibleError(
            f"condition {condition.op.name.lower()}: {condition.count}", "a whole number from 1 on"
        )
    return condition.count + more[condition.op]


def _counted_field(named: str | list[str] | None, entity: Entity, selection: Selection) -> Field:
    names = [named] if isinstance(named, str) else named or []
    if len(names) != 1:
        raise NotExpressibleError(f"value_count of {', '.join(names) or 'nothing'}", "one field")
    field = BY_NAME.get(names[0])
    if field is None or field.role not in {"thing", "sketch"}:
        countable = sorted({one.name for one in BY_NAME.values() if one.role in {"thing", "sketch"}})
        raise NotExpressibleError(f"value_count of {names[0]}", f"one of {', '.join(countable)}")
    if not field.of_entity(entity) or field.target == entity:
        raise NotExpressibleError(f"value_count of {field.name} by API key is not stored", "group by account_id")
    if selection.axis is not None and axis_key(selection.axis) != axis_key(field):
        raise NotExpressibleError(
            f"value_count of {field.name} of requests selected by {selection.axis.name}: not stored together",
            f"select by {field.name} only, or every request: model: '*'",
        )
    if field.role == "sketch" and selection.axis is not None:
        raise NotExpressibleError(f"value_count of {field.name} of some requests", "select every request: model: '*'")
    return field


def _span(rule: SigmaCorrelationRule, *, by_hour: bool, sketched: bool = False) -> Span:
    seconds = rule.timespan.seconds
    hours = by_hour or seconds > _DAY_S or (sketched and seconds > _HOUR_S)
    step, name = (_HOUR_S, "hours") if hours else (60, "minutes")
    if seconds % step:
        raise NotExpressibleError(
            f"timespan {rule.timespan.spec}", f"whole {name}: what it asks for is counted by {name} here"
        )
    if seconds > LONGEST_S:
        raise NotExpressibleError(f"timespan {rule.timespan.spec}", "7d at most")
    return Span(seconds, hours)


def _schedule(span: Span) -> tuple[str, str, str]:
    """Window, hop and every: each moment of the span lies in some window whole."""
    if span.seconds > _DAY_S:
        return f"{span.seconds // _HOUR_S + 6}h", "6h", "1h"
    if span.by_hour or span.seconds > _HOUR_S:
        return f"{span.seconds // 60 + 60}m", "1h", "5m"
    return f"{span.seconds // 30}m", f"{span.seconds // 60}m", "1m"


def _threshold(default: int, noun: str) -> dict[str, Any]:
    return {"threshold": {"default": default, "min": 1, "max": _HIGHEST, "description": f"{noun}, at least"}}


def _limits(
    span: Span, selections: Sequence[Selection], *, sketched: bool = False, sequence: bool = False
) -> list[str]:
    step = "hour" if span.by_hour else "minute"
    if sequence:
        text = f"Of each {step} it is known when the first and the last such request came; what lies between is missed."
    else:
        edge = f"{'an' if span.by_hour else 'a'} {step}"
        text = f"Counted by the {step}: what adds up lies within {span.told}, and at its edges up to {edge} is missed."
    found = [text]
    if sketched:
        found.append("From 32 different values on the number is an estimate, to some 18 %.")
    flags = sorted({one.axis.name for one in selections if one.axis is not None and one.axis.role == "flag"})
    if flags:
        found.append(f"{', '.join(flags)}: a request that does not tell counts as told in docs/sigma.md.")
    found.append("It counts towards no score (evidence: unscored): nobody measured how many benign accounts show it.")
    return found


def _commented(title: str, sql: str) -> str:
    return f"-- {title}\n-- Imported from Sigma by `stillwatch rules import-sigma`: docs/sigma.md says how.\n{sql}"


def _tree(rule: SigmaAny, title: str, severity: Severity, strength: float, body: _Body) -> dict[str, Any]:
    """A correlation tells what the rules that it is made of tell too."""
    window, hop, every = _schedule(body.span)
    told = [rule, *body.parts]
    false_positives = [one_line(text) for one in told for text in one.falsepositives]
    references = [_origin(one) for one in told] + [one_line(text) for one in told for text in one.references]
    return {
        "title": title,
        "description": one_line(rule.description) or title,
        "severity": severity,
        "confidence": "medium" if rule.status is SigmaStatus.STABLE else "low",
        "status": _STATUSES[rule.status],
        "tags": _tags(told),
        "evidence": "unscored",
        "dimension": body.dimension,
        "window": window,
        "hop": hop,
        "every": every,
        "alert": "match",
        "alert_at": strength,
        "parameters": dict(body.parameters),
        "references": list(dict.fromkeys(references)),
        "false_positives": list(dict.fromkeys(false_positives)) or ["The author of the rule names none."],
        "limits": list(body.limits),
        "runbook": [
            "Look at what else is known of the account: stillwatch explain account ID.",
            "Look at its requests hour by hour: stillwatch sql --saved account_by_hour --param account=ID.",
            f"Hold it against the known false positives; if one fits, clear the account, or {_remedy(body)}.",
        ],
        "tests": list(body.cases),
    }


def _remedy(body: _Body) -> str:
    return "raise threshold in your settings (rules.parameters)" if body.parameters else "narrow the rule"


def _origin(rule: SigmaAny) -> str:
    author = f", by {one_line(rule.author)}" if rule.author else ""
    licence = f", licence {one_line(rule.license)}" if rule.license else ""
    return f"Sigma rule “{one_line(rule.title)}”{f' ({rule.id})' if rule.id else ''}{author}{licence}"


def _tags(told: Sequence[SigmaAny]) -> list[str]:
    names = (str(tag).lower() for rule in told for tag in rule.tags)
    made = (re.sub(r"[^a-z0-9.-]+", "-", name).strip("-.")[:_TAG_CHARS].strip("-.") for name in names)
    tidy = (re.sub(r"([.-])[.-]+", r"\1", tag) for tag in made)
    return list(dict.fromkeys(tag for tag in ("sigma", *tidy) if tag))[:_MOST_TAGS]
