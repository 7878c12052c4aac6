"""The condition of a Sigma rule as a tree of ours: which fields are asked for what, joined by and, or, not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.modifiers import reverse_modifier_mapping
from sigma.policy import default_policy
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from pipeline.rules.sigma.fields import BY_NAME, NOT_KEPT, Field
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.values import Cidr, Exists, Number, Op, Regex, Test, Text, Truth, Value, Wild, cidr

MODIFIERS: Final = frozenset(
    {
        *("all", "contains", "startswith", "endswith", "cased", "re", "i", "ignorecase", "m", "multiline", "s"),
        *("dotall", "cidr", "gt", "gte", "lt", "lte", "neq", "exists"),
    }
)
MAX_ASKED: Final = 1000
MAX_CONDITION: Final = 2000
MAX_NESTED: Final = 20
_WILD: Final = {SpecialChars.WILDCARD_MULTI: Wild.MANY, SpecialChars.WILDCARD_SINGLE: Wild.ONE}
_OPS: Final[Mapping[CompareOperators, Op]] = {
    CompareOperators.LT: "<",
    CompareOperators.LTE: "<=",
    CompareOperators.GT: ">",
    CompareOperators.GTE: ">=",
}


@dataclass(frozen=True, slots=True)
class Const:
    """True of every request, or of none."""

    value: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One field, one value."""

    field: Field
    test: Test


@dataclass(frozen=True, slots=True)
class Every:
    """All of these."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: Node


Node = Const | Asked | Every | Some | Not
EVERYTHING: Final = Const(value=True)


def read_condition(rule: SigmaRule) -> Node:
    """What a rule asks of a request.

    Raises:
        NotExpressibleError: something in it that is not stored, or not known.
        SigmaError: the condition is none.
    """
    if len(rule.detection.parsed_condition) != 1:
        raise NotExpressibleError("a list of conditions", "join them: (…) or (…)")
    condition = rule.detection.parsed_condition[0]
    check_condition(condition.condition)
    for detection in rule.detection.detections.values():
        _check_modifiers(detection)
    tree = condition.parsed
    asked = [0]
    return _node(tree, asked)


def check_condition(text: str) -> None:
    """Refuse what would take long to parse, and the aggregations of old.

    Raises:
        NotExpressibleError: it is one of these.
    """
    if len(text) > MAX_CONDITION or text.count("(") > MAX_NESTED:
        raise NotExpressibleError(
            f"a condition of {len(text)} characters with {text.count('(')} brackets",
            f"at most {MAX_CONDITION} and {MAX_NESTED}: split the rule",
        )
    if "|" in text:
        near = "near" in text.partition("|")[2].split()
        what = "near" if near else "an aggregation such as | count()"
        step = (
            "a correlation rule of type temporal" if near else "a correlation rule of type event_count or value_count"
        )
        raise NotExpressibleError(f"condition “{text}”: {what} is Sigma's old form", f"write {step}")


def every(*parts: Node) -> Node:
    """All of these, with what is always so left out."""
    left = [part for part in parts if part != EVERYTHING]
    if any(isinstance(part, Const) for part in left):
        return Const(value=False)
    return EVERYTHING if not left else left[0] if len(left) == 1 else Every(tuple(left))


def some(*parts: Node) -> Node:
    """At least one of these, with what is never so left out."""
    left = [part for part in parts if part != Const(value=False)]
    if any(isinstance(part, Const) for part in left):
        return EVERYTHING
    return Const(value=False) if not left else left[0] if len(left) == 1 else Some(tuple(left))


def negated(part: Node) -> Node:
    """Not this."""
    if isinstance(part, Const):
        return Const(not part.value)
    return part.part if isinstance(part, Not) else Not(part)


def asked_of(node: Node) -> Iterator[Asked]:
    """Every field with its value, in order."""
    match node:
        case Asked():
            yield node
        case Every(parts) | Some(parts):
            for part in parts:
                yield from asked_of(part)
        case Not(part):
            yield from asked_of(part)
        case Const():
            return


def holds(node: Node, values: Mapping[str, Value]) -> bool:
    """Whether a request with these values satisfies it; a field that is not named is missing."""
    match node:
        case Const(value):
            return value
        case Asked(field, test):
            return test.holds(values.get(field.name))
        case Every(parts):
            return all(holds(part, values) for part in parts)
        case Some(parts):
            return any(holds(part, values) for part in parts)
        case Not(part):
            return not holds(part, values)


def sql_of(node: Node, prefix: str = "") -> str:
    """The tree over columns, one of each field; a column that is null satisfies nothing but ``exists: false``."""
    match node:
        case Const(value):
            return str(value).lower()
        case Asked(field, test):
            column = prefix + field.sql
            text = test.sql(column)
            return f"coalesce({text}, false)" if prefix and not isinstance(test, Exists) else text
        case Every(parts):
            return "(" + " and ".join(sql_of(part, prefix) for part in parts) + ")"
        case Some(parts):
            return "(" + " or ".join(sql_of(part, prefix) for part in parts) + ")"
        case Not(part):
            return f"not {sql_of(part, prefix)}" if isinstance(part, Every | Some) else f"not ({sql_of(part, prefix)})"


def find_field(name: str) -> Field:
    """The field of that name.

    Raises:
        NotExpressibleError: there is none, or it is not stored.
    """
    found = BY_NAME.get(name)
    if found is not None:
        return found
    if name in NOT_KEPT:
        raise NotExpressibleError(f"field {name}: {NOT_KEPT[name]}", "ask for another field, or leave it out")
    raise NotExpressibleError(f"field {name} is unknown", "docs/sigma.md lists the fields; rename it to one of them")


def _check_modifiers(detection: SigmaDetection) -> None:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetectionItem):
            for modifier in item.modifiers:
                name = reverse_modifier_mapping[modifier.__name__]
                if name not in MODIFIERS:
                    raise NotExpressibleError(
                        f"modifier {name} of field {item.field}", f"one of {', '.join(sorted(MODIFIERS))}"
                    )
        else:
            _check_modifiers(item)


def _node(item: object, asked: list[int]) -> Node:
    match item:
        case ConditionAND():
            return every(*(_node(part, asked) for part in item.args))
        case ConditionOR():
            return some(*(_node(part, asked) for part in item.args))
        case ConditionNOT():
            return negated(_node(item.args[0], asked))
        case ConditionFieldEqualsValueExpression():
            asked[0] += 1
            if asked[0] > MAX_ASKED:
                raise NotExpressibleError(f"more than {MAX_ASKED} values", "split the rule")
            return _asked(item.field, item.value)
        case ConditionValueExpression():
            raise NotExpressibleError(f"the keyword “{item.value}” without a field: text is not stored", "name a field")
    raise NotExpressibleError("a condition that says nothing", "give it a selection")


def _asked(name: str, value: SigmaType) -> Node:
    field = find_field(name)
    test = _test(name, value)
    if isinstance(test, Cidr):
        if field.name not in {"ip", "network"}:
            raise NotExpressibleError(f"cidr of field {name}", "ask it of ip or network")
        return Asked(BY_NAME["network"], test)
    if field.role == "sketch":
        raise NotExpressibleError(
            f"field {name}: single values are not stored",
            "ip|cidr down to /24, or value_count" if field.name == "ip" else "count how many with value_count",
        )
    if field.always and isinstance(test, Exists):
        return Const(test.wanted)
    if field.always and isinstance(test, Text) and test.any_text:
        return EVERYTHING
    return Asked(field, test)


def _test(name: str, value: SigmaType) -> Test:  # noqa: PLR0911 - a case each
    match value:
        case SigmaTimestampPart():
            raise NotExpressibleError(f"a part of a time, of field {name}", "leave it out")
        case SigmaString():
            return _text(name, value)
        case SigmaBool():
            return Truth(value.boolean)
        case SigmaNumber():
            return Number("=", value.number)
        case SigmaExists():
            return Exists(bool(value))
        case SigmaNull():
            return Exists(wanted=False)
        case SigmaCIDRExpression():
            return cidr(value.network)
        case SigmaCompareExpression() if value.op in _OPS and not isinstance(value.number, SigmaTimestampPart):
            return Number(_OPS[value.op], value.number.number)
        case SigmaRegularExpression():
            pattern = value.escape(escape_escape_char=False)
            return Regex(pattern, default_policy.regex_engine.compile(pattern).search)
    raise NotExpressibleError(f"a {type(value).__name__} of field {name}", "docs/sigma.md lists what can be asked")


def _text(name: str, value: SigmaString) -> Text:
    parts: list[str | Wild] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise NotExpressibleError(f"the placeholder %{part.name}% of field {name}", "write its values out")
        parts.append(part if isinstance(part, str) else _WILD[part])
    return Text(tuple(parts), isinstance(value, SigmaCasedString))
