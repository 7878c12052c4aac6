"""What of a condition can be counted: whom it speaks about, and the one thing of a request that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.events.cues import KINDS
from pipeline.rules.sigma.condition import Const, Every, Node, asked_of, every, holds
from pipeline.rules.sigma.fields import Entity, Field, FlagClass
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.values import Exists, Number, Value

_BUCKETS: Final = 64  # of sizes: bucket b has numbers of b bits
_KIND_FEATURE: Final = 5  # of a tally


@dataclass(frozen=True, slots=True)
class Selection:
    """Requests that a rule selects.

    ``who`` is about the account, ``key`` about the API key, ``what`` about the request. ``axis``: the one thing of a
    request that all of ``what`` asks for; None: every request.
    """

    who: Node
    key: Node
    what: Node
    axis: Field | None

    @property
    def by_hour(self) -> bool:
        """It is stored by hours, not by minutes."""
        return self.axis is not None and self.axis.role == "thing"


def select(condition: Node, entity: Entity) -> Selection:
    """Sort the parts of a condition.

    Raises:
        NotExpressibleError: it asks for two things of one request, of which it is not stored how often they met.
    """
    parts = condition.parts if isinstance(condition, Every) else (condition,)
    who: list[Node] = []
    key: list[Node] = []
    what: list[Node] = []
    for part in parts:
        roles = {_role(item.field, entity) for item in asked_of(part)}
        if len(roles) > 1:
            raise NotExpressibleError(
                f"or, not, between {' and '.join(sorted({item.field.name for item in asked_of(part)}))}",
                "what is about the account and what is about the request are joined by and only",
            )
        (who if roles == {"who"} else key if roles == {"key"} else what).append(part)
    selected = every(*what)
    if selected == Const(value=False):
        raise NotExpressibleError("a condition that no request satisfies", "look at its and, or, not")
    return Selection(every(*who), every(*key), selected, _axis(selected, entity))


def axis_key(field: Field) -> tuple[str, str]:
    """Fields of one axis are told apart by the same counts."""
    return field.role, field.target or field.name


def _role(field: Field, entity: Entity) -> str:
    if field.role == "who":
        return "who"
    return "key" if entity == "api_key" and field.target == "api_key" else "what"


def _axis(what: Node, entity: Entity) -> Field | None:
    fields = list(dict.fromkeys(item.field for item in asked_of(what)))
    if not fields:
        return None
    keys = {axis_key(field) for field in fields}
    if len(keys) > 1:
        names = " and ".join(sorted({field.name for field in fields}))
        raise NotExpressibleError(
            f"{names} of one request: each is counted by itself, and how often they met is not stored",
            "ask for one of them, or for each in a rule of its own, joined by a temporal correlation",
        )
    for field in fields:
        if not field.of_entity(entity):
            raise NotExpressibleError(f"field {field.name} of API keys is not stored", "group by account_id")
    if fields[0].role != "thing":
        _check(what, fields[0])
    return fields[0]


def chosen_classes(what: Node, field: Field) -> list[str]:
    """SQL of the classes of a flag that are selected."""
    return [one.sql for one in field.classes if _same(what, field, _of_class(what, one))]


def chosen_buckets(what: Node, field: Field) -> list[int]:
    """Buckets of a tally's feature that are selected."""
    if field.role == "kind":
        return [place for place, kind in enumerate(KINDS) if holds(what, {field.name: kind})]
    return [bucket for bucket in range(_BUCKETS) if _same(what, field, _of_bucket(what, bucket))]


def feature(field: Field) -> int:
    """The number of the feature in a tally."""
    return _KIND_FEATURE if field.role == "kind" else int(field.sql)


def _of_class(what: Node, one: FlagClass) -> Iterator[Value]:
    yield from one.values
    if one.open_ended:
        known = max(value for value in one.values if isinstance(value, int))
        yield from (n for number in _numbers(what) for n in (number - 1, number, number + 1) if n > known)


def _numbers(what: Node) -> list[int]:
    return [int(item.test.number) for item in asked_of(what) if isinstance(item.test, Number)]


def _of_bucket(what: Node, bucket: int) -> Iterator[int]:
    low, high = (1 << bucket) >> 1, max(0, (1 << bucket) - 1)
    near = {n for number in _numbers(what) for n in (number - 1, number, number + 1)}
    yield from {low, high, *(n for n in near if low <= n <= high)}


def _check(what: Node, field: Field) -> None:
    """Raises NotExpressibleError: requests that are counted together would have to be told apart."""
    for item in asked_of(what):
        exists = isinstance(item.test, Exists)
        if field.role == "flag" and exists != field.only_exists:
            what_is = "its value is not stored" if field.only_exists else "whether it was told is not stored"
            raise NotExpressibleError(f"field {field.name}: {what_is}", f"docs/sigma.md: {field.meaning}")
        if field.role == "size" and not exists and not isinstance(item.test, Number):
            raise NotExpressibleError(f"field {field.name} compared with text", "compare it with a number")
    if field.role == "flag":
        chosen_classes(what, field)
    elif field.role == "size":
        chosen_buckets(what, field)


def _same(what: Node, field: Field, values: Iterable[Value]) -> bool:
    answers = {holds(what, {field.name: value}) for value in values}
    if len(answers) > 1:
        step = (
            "compare with gte or lt and a power of two: 1, 2, 4, … 1024, 2048, 4096 …"
            if field.role == "size"
            else f"docs/sigma.md says what is told apart: {field.meaning}"
        )
        raise NotExpressibleError(f"field {field.name} is not told apart so finely", step)
    return answers == {True}
