"""Requests that satisfy a condition and requests that do not, found by trying: what the cases of a rule are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import islice, product
from typing import Any, Final

from pipeline.events.cues import KINDS
from pipeline.rules.sigma.condition import Node, asked_of, holds
from pipeline.rules.sigma.fields import BY_NAME, Field
from pipeline.rules.sigma.values import Text, Value

Values = Mapping[str, Value]

_TRIED: Final = 20_000
_HASH: Final = re.compile(r"[0-9a-f]{16}")
_LONGEST: Final = 160
# A request that says nothing else.
PLAIN: Final[Values] = {"account_id": "caller", "model": "model-1"}
_SENT_AS: Final = {"client": "user_agent", "ip": "ip"}
_CONTENT: Final = {"template": "template_hash", "system_prompt": "system_hash", "request_kind": "request_kind"}


@dataclass(frozen=True, slots=True)
class Request:
    """An event in native format, without id and time, and facts about its account."""

    values: Values
    event: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def requests(condition: Node, *, wanted: bool, given: Values, number: int = 0) -> Iterator[Request]:
    """Requests of which the condition is ``wanted``: at most a few thousand are tried, the likely ones first.

    ``given``: what they have at any rate. Another ``number`` gives other values, where the condition leaves them open.
    """
    fields = list(dict.fromkeys(item.field for item in asked_of(condition)))
    choices = [list(dict.fromkeys(_candidates(one, condition, given, wanted, number))) for one in fields]
    for chosen in islice(product(*choices), _TRIED):
        values = {**given, **{one.name: value for one, value in zip(fields, chosen, strict=True)}}
        if holds(condition, values) is wanted and (made := _request(_completed(values))) is not None:
            yield made


def _candidates(one: Field, condition: Node, given: Values, wanted: bool, number: int) -> Iterator[Value]:
    tests = [item.test for item in asked_of(condition) if item.field == one]
    asked = [value for test in tests for value in test.examples(number)]
    if one.role in {"flag", "size"}:
        asked = [value for value in asked if not isinstance(value, str)]
    elif len(tests) > 1:  # a text that contains them all
        each = [str(next(iter(test.examples(number)))) for test in tests if isinstance(test, Text)]
        asked += ["".join(each), "".join(reversed(each))]
    other = list(_others(one, number))
    if one.name in given:
        asked = [given[one.name], *asked]
    yield from [*asked, *other] if wanted else [*other, *asked]


def _others(one: Field, number: int) -> Iterator[Value]:
    if one.role == "flag":
        yield from (each.values[0] for each in reversed(one.classes))
    elif one.role == "size":
        yield from (3, 100_000)
    elif one.role == "kind":
        yield from KINDS
    elif one.target in {"template", "system_prompt"}:
        yield f"{number:016x}"
    elif one.target == "network":
        yield f"198.51.{number % 256}.0/24"
    elif one.target == "asn":
        yield 64500 + number
    else:
        yield f"{one.name.replace('.', '-').replace('_', '-')}-{number}"
    if not one.always:
        yield None


def _completed(values: Values) -> Values:
    """With what follows: the client of a user agent."""
    agent = values.get("user_agent", values.get("client"))
    return values if agent is None else {**values, "user_agent": agent, "client": values.get("client") or agent}


def _request(values: Values) -> Request | None:
    """The event, or None where no event has such values."""
    event: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    content: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, str) and ("{i}" in value or "{j}" in value or not 0 < len(value) <= _LONGEST):
            return None
        if name.startswith("account."):
            facts[name.removeprefix("account.")] = str(value)
        elif name in _CONTENT:
            if name != "request_kind" and not _HASH.fullmatch(str(value)):
                return None
            content[_CONTENT[name]] = str(value)
        elif name == "network":
            found = _address(str(value))
            if found is None:
                return None
            event |= found
        elif name == "asn":
            if not str(value).isdecimal():
                return None
            event["asn"] = int(value)
        else:
            event[_SENT_AS.get(name, name)] = value if _is_number(name) else str(value)
    if content:
        event["content"] = content
    return Request(values, event, facts)


def _is_number(name: str) -> bool:
    known = BY_NAME.get(name)
    return known is not None and known.role in {"flag", "size"}


def _address(network: str) -> dict[str, Any] | None:
    if re.fullmatch(r"AS\d{1,10}", network):
        return {"asn": int(network[2:])}
    try:
        found = ip_network(network)
    except ValueError:
        return None
    return {"ip": str(found[10])} if found.num_addresses > 10 else None


def merged(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One event for all of them: what differs becomes a list, of which each takes its own."""
    return {
        name: events[0][name] if all(event[name] == events[0][name] for event in events) else [e[name] for e in events]
        for name in events[0]
    }
