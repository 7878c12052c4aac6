"""The SELECT of an imported rule: requests are counted by minute or hour and summed over a span that moves.

What is summed lies within the time span, never wider apart; where minutes or hours are cut at its edges, less of it
may be seen. Names in the SQL are this module's and ``fields``'; what a rule says reaches it through ``quote``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Final, Literal

from pipeline.rules.sigma.condition import EVERYTHING, holds, negated, sql_of
from pipeline.rules.sigma.fields import Entity, Field
from pipeline.rules.sigma.selection import Selection, chosen_buckets, chosen_classes, feature
from pipeline.rules.sigma.templates import (
    ALL_THERE,
    CHOSEN,
    DISTINCT,
    ENOUGH,
    FOLLOWING,
    FOUND,
    MERGED,
    NEXT,
    OTHERS,
    OVER,
    OWNERS,
    PANES,
    REST,
    SKETCHED,
    SUMMED,
    TALLIED,
    THINGS,
    USED,
)
from pipeline.rules.sigma.values import quote

Order = Literal["any", "given"]

_LONGEST_TOLD: Final = 4096  # of titles in a sentence
_KEY_LINKS: Final = "(select * from links where links.source_kind = 'api_key') as links"
_PANE: Final = "prints.window_start >= $since::timestamptz\n    and prints.window_start < $until::timestamptz"
_LINK: Final = "links.hour >= $since::timestamptz\n    and links.hour < $until::timestamptz"


@dataclass(frozen=True, slots=True)
class Span:
    """A time span of a rule. ``by_hour``: what it sums is by hours, else by minutes."""

    seconds: int
    by_hour: bool

    @property
    def before(self) -> str:
        """How far back a sum reaches from the bucket that it ends with."""
        step = 3600 if self.by_hour else 60
        return f"interval {(self.seconds - step) // 60} minutes"

    @property
    def whole(self) -> str:
        """All of it."""
        return f"interval {self.seconds} seconds"

    @property
    def told(self) -> str:
        """As a person says it."""
        for size, one in ((86_400, "day"), (3600, "hour"), (60, "minute")):
            if self.seconds % size == 0:
                count = self.seconds // size
                return f"{count} {one}{'s' if count > 1 else ''}"
        return f"{self.seconds} seconds"


def count_events(selection: Selection, entity: Entity, span: Span, *, strength: float, told: str) -> str:
    """Whose requests that are selected come to ``$threshold`` within the span."""
    parts = [*_subjects(selection, entity), *_counted(selection, entity, span.by_hour)]
    return _query(
        [*parts, ("spans", SUMMED.format(before=span.before))], _over(entity, span, strength, "requests", told)
    )


def count_values(selection: Selection, field: Field, entity: Entity, span: Span, *, strength: float, told: str) -> str:
    """Whose requests that are selected have ``$threshold`` different values of the field within the span."""
    parts = _subjects(selection, entity)
    if field.role == "sketch":
        parts += [
            ("seen", SKETCHED.format(column=field.sql, **_pane(selection, entity, span.by_hour))),
            ("enough", ENOUGH),
            ("spans", MERGED.format(before=span.before)),
        ]
    else:
        text = USED.format(value=field.sql, **_links(selection, entity, field))
        parts += [("used", text), ("spans", DISTINCT.format(before=span.before))]
    return _query(parts, _over(entity, span, strength, f"different {field.name}", told))


def sequence(
    selections: Sequence[Selection], entity: Entity, span: Span, order: Order, *, strength: float, told: str
) -> str:
    """Who has a request of each selection within the span, in any order or in the given one."""
    parts: list[tuple[str, str]] = []
    for number, selection in enumerate(selections, 1):
        parts += _subjects(selection, entity, f"_{number}")
        parts += _counted(selection, entity, selection.by_hour, f"_{number}")
        ends = ("first_seen", "last_seen") if selection.by_hour and _positive(selection) else None
        parts.append((f"part_{number}", _points(number, ends)))
    parts += _in_order(len(selections)) if order == "given" else _in_any_order(len(selections))
    final = FOUND.format(
        entity=entity,
        strength=strength,
        told=quote(f"{told} within {span.told}.", most=_LONGEST_TOLD),
        within=span.whole,
    )
    return _query(parts, final)


def _query(parts: Sequence[tuple[str, str]], final: str) -> str:
    ctes = ",\n\n".join(f"{name} as (\n{indent(text.strip(), '    ')}\n)" for name, text in parts)
    return f"with\n{ctes}\n\n{final.strip()}\n"


def _subjects(selection: Selection, entity: Entity, suffix: str = "") -> list[tuple[str, str]]:
    """Whom the rule may speak about: nothing where that is everybody."""
    if entity == "api_key":
        who = "" if selection.who == EVERYTHING else f"\n    and {sql_of(selection.who, 'accounts.')}"
        key = "" if selection.key == EVERYTHING else f"\n    and {sql_of(selection.key)}"
        return [(f"subjects{suffix}", OWNERS.format(who=who, key=key))]
    if selection.who == EVERYTHING:
        return []
    return [(f"subjects{suffix}", CHOSEN.format(who=sql_of(selection.who, "accounts.")))]


def _joined(selection: Selection, entity: Entity, column: str, suffix: str = "") -> tuple[str, str]:
    """The account of a row, and the join that brings it."""
    if entity == "account" and selection.who == EVERYTHING:
        return column, ""
    return "subjects.account_id", f"\ninner join subjects{suffix} as subjects on {column} = subjects.entity_id"


def _pane(selection: Selection, entity: Entity, by_hour: bool, suffix: str = "") -> dict[str, str]:
    account, join = _joined(selection, entity, "prints.entity_id", suffix)
    view = "fingerprints_1h" if by_hour else "fingerprints_1m"
    return {"account": account, "join": join, "view": view, "kind": entity, "window": _PANE}


def _links(selection: Selection, entity: Entity, field: Field, suffix: str = "") -> dict[str, str]:
    account, join = _joined(selection, entity, "links.source_id", suffix)
    where = "" if selection.what == EVERYTHING else f"\n    and {sql_of(selection.what)}"
    return {
        "account": account,
        "join": join,
        "source": _source(entity),
        "target": field.target,
        "window": _LINK,
        "where": where,
    }


def _source(entity: Entity) -> str:
    """Links of accounts as they are stored: they are summed here, and adding them up first costs twice the time."""
    return "link_rows($since, $until) as links" if entity == "account" else _KEY_LINKS


def _positive(selection: Selection) -> bool:
    """Rows of ``links`` say which requests are selected; else they say which are not."""
    return not holds(selection.what, {})


def _counted(selection: Selection, entity: Entity, by_hour: bool, suffix: str = "") -> list[tuple[str, str]]:
    field = selection.axis
    name = f"counted{suffix}"
    if field is None or field.role != "thing":
        expression = "prints.events" if field is None else _measure(selection, field)
        return [(name, PANES.format(matched=expression, **_pane(selection, entity, by_hour, suffix)))]
    if _positive(selection):
        return [(name, THINGS.format(**_links(selection, entity, field, suffix)))]
    not_selected = sql_of(negated(selection.what))
    others = OTHERS.format(source=_source(entity), target=field.target, window=_LINK, where=not_selected)
    rest = REST.format(others=f"others{suffix}", **_pane(selection, entity, True, suffix))
    return [(f"others{suffix}", others), (name, rest)]


def _measure(selection: Selection, field: Field) -> str:
    """How many requests of a row ``prints`` are selected."""
    if field.role == "flag":
        classes = chosen_classes(selection.what, field)
        return "prints.events" if len(classes) == len(field.classes) else " + ".join(classes) or "0"
    chosen, missing = chosen_buckets(selection.what, field), holds(selection.what, {})
    if missing:
        chosen = sorted(set(range(64)) - set(chosen))
    counted = TALLIED.format(feature=feature(field), chosen=_ranges(chosen))
    return f"prints.events - {counted}" if missing else counted


def _ranges(numbers: Sequence[int]) -> str:
    if not numbers:
        return "false"
    if list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"entry.bucket between {numbers[0]} and {255 if numbers[-1] == 63 else numbers[-1]}"
    return f"entry.bucket in ({', '.join(str(number) for number in numbers)})"


def _over(entity: Entity, span: Span, strength: float, noun: str, told: str) -> str:
    sentence = quote(f" {noun} within {span.told}: {told}. ", most=_LONGEST_TOLD)
    return OVER.format(entity=entity, strength=strength, sentence=sentence)


def _points(number: int, ends: tuple[str, ...] | None) -> str:
    """Times between which a request that is selected was sent: exact where a row says when the first and last were."""
    if ends is None:
        columns = "account_id, entity_id, first_seen as earliest, last_seen as latest"
        return f"select {columns}\nfrom counted_{number}\nwhere matched > 0"
    return "\nunion\n".join(
        f"select account_id, entity_id, {end} as earliest, {end} as latest\nfrom counted_{number}" for end in ends
    )


def _in_any_order(count: int) -> list[tuple[str, str]]:
    points = "\nunion all\n".join(
        f"select {number} as part, account_id, entity_id, earliest, latest\nfrom part_{number}"
        for number in range(1, count + 1)
    )
    ends = ",\n".join(
        f"min(latest) filter (where part = {number}) over following as latest_{number}"
        for number in range(1, count + 1)
    )
    last = ", ".join(f"latest_{number}" for number in range(1, count + 1))
    there = " and ".join(f"latest_{number} is not null" for number in range(1, count + 1))
    return [
        ("points", points),
        ("following_ends", FOLLOWING.format(ends=indent(ends, "    ").lstrip())),
        ("found", ALL_THERE.format(last=last, there=there)),
    ]


def _in_order(count: int) -> list[tuple[str, str]]:
    steps = [("chain_1", "select account_id, entity_id, earliest as began, latest as ended\nfrom part_1")]
    for number in range(2, count + 1):
        name = "found" if number == count else f"chain_{number}"
        steps.append((name, NEXT.format(before=number - 1, after=number)))
    return steps
