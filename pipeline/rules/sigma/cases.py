"""Cases of an imported rule: requests that it must tell of, and look-alikes that it must not, made from the rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from pipeline.rules.sigma.condition import EVERYTHING, Asked, every, holds
from pipeline.rules.sigma.examples import PLAIN, Request, Values, merged, requests
from pipeline.rules.sigma.fields import Entity, Field
from pipeline.rules.sigma.query import Order, Span
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.selection import Selection
from pipeline.rules.sigma.values import Exists

MOST: Final = 20  # requests of a case; a higher threshold is lowered in it
_APART_S: Final = 60
_KEY: Final = {"api_key_id": "key-1"}

Case = dict[str, Any]


def event_cases(selection: Selection, entity: Entity, span: Span, threshold: int) -> list[Case]:
    """Cases of a rule that counts requests.

    Raises:
        NotExpressibleError: no request could be found that it selects, or nothing that it does not tell of.
    """
    made = _one(selection, _given([selection], entity))
    count = min(threshold, MOST)
    parameters = {"threshold": count} if count < threshold else {}
    step = _step(span, count)

    def case(name: str, request: Request, events: int, step_s: float, fires: int) -> Case:
        return _case(name, [_traffic(request, events, step_s=step_s)], fires, parameters)

    cases = [case(_requests(count), made, count, step, 1)]
    if count > 1:
        cases.append(case(f"the same, {count - 1} of them", made, count - 1, step, 0))
        far = 2 * span.seconds / (count - 1)
        cases.append(case("the same over twice the time", made, count, far, 0))
    cases += [case(name, other, count, step, 0) for name, other in _others(selection, entity)]
    return _with_look_alike(cases)


def value_cases(selection: Selection, field: Field, entity: Entity, span: Span, threshold: int) -> list[Case]:
    """Cases of a rule that counts different values.

    Raises:
        NotExpressibleError: too few values could be found that it selects, or nothing that it does not tell of.
    """
    count = min(threshold, MOST)
    parameters = {"threshold": count} if count < threshold else {}
    made = _different(selection, field, _given([selection], entity), count)
    if len(made) < count:
        raise NotExpressibleError(
            f"{threshold} different {field.name}: only {len(made)} could be found that it selects",
            "a lower number, or a wider selection",
        )
    step = _step(span, count)

    def case(name: str, events: Sequence[Request], times: int, fires: int) -> Case:
        one = Request(events[0].values, merged([each.event for each in events]), events[0].facts)
        return _case(name, [_traffic(one, times, step_s=step)], fires, parameters)

    cases = [case(f"{count} different {field.name}", made, count, 1)]
    if count > 1:
        cases.append(case(f"{count - 1} different {field.name}", made[: count - 1], count - 1, 0))
        cases.append(case(f"as many requests with one {field.name}", made[:1], count, 0))
    cases += [case(name, [other], count, 0) for name, other in _others(selection, entity)]
    return _with_look_alike(cases)


def sequence_cases(
    selections: Sequence[Selection], entity: Entity, span: Span, order: Order, titles: Sequence[str]
) -> list[Case]:
    """Cases of a rule that wants a request of each selection.

    Raises:
        NotExpressibleError: no requests could be found that it selects, or nothing that it does not tell of.
    """
    given = _given(selections, entity)
    made = [_one(selection, given) for selection in selections]
    if (len(made) - 1) * _APART_S > span.seconds:
        raise NotExpressibleError(
            f"timespan {span.told} for {len(made)} rules", f"{len(made) - 1} minutes at least: they are told apart so"
        )

    def case(name: str, sent: Sequence[tuple[float, Request]], fires: int) -> Case:
        return _case(name, [_traffic(request, 1, start_s=start) for start, request in sent], fires, {})

    cases = [case("all of them in order", [(_APART_S * at, one) for at, one in enumerate(made)], 1)]
    cases += [
        case(f"all but “{titles[out]}”", [(_APART_S * at, one) for at, one in enumerate(rest)], 0)
        for out in range(len(made))
        if (rest := made[:out] + made[out + 1 :]) and not any(_selected(selections[out], one) for one in rest)
    ]
    alone = not any(
        _selected(selection, other)
        for at, selection in enumerate(selections)
        for place, other in enumerate(made)
        if at != place
    )
    if alone:
        far = span.seconds + _APART_S
        cases.append(case("all of them too far apart", [(far * at, one) for at, one in enumerate(made)], 0))
        if order == "given":
            turned = [(_APART_S * at, one) for at, one in enumerate(reversed(made))]
            cases.append(case("all of them in another order", turned, 0))
    return _with_look_alike(cases)


def _requests(count: int) -> str:
    return f"{count} requests that it selects" if count > 1 else "a request that it selects"


def _given(selections: Sequence[Selection], entity: Entity) -> Values:
    """Whom the requests of a case are of: somebody of whom every selection speaks."""
    start: Values = {**PLAIN, **(_KEY if entity == "api_key" else {})}
    who = every(*(part for selection in selections for part in (selection.who, selection.key)))
    found = next(requests(who, wanted=True, given=start), None)
    if found is None:
        raise NotExpressibleError("no account could be made up that it speaks about", "a simpler condition")
    return found.values


def _one(selection: Selection, given: Values) -> Request:
    found = next(requests(selection.what, wanted=True, given=given), None)
    if found is None:
        raise NotExpressibleError(
            "no request could be made up that it selects, so it cannot be tested",
            "look whether any could; write a simpler pattern",
        )
    return found


def _others(selection: Selection, entity: Entity) -> Iterator[tuple[str, Request]]:
    """Requests that it does not select, and those of whom it does not speak."""
    if selection.what != EVERYTHING:
        found = next(requests(selection.what, wanted=False, given=_given([selection], entity)), None)
        if found is not None:
            yield "requests that it does not select", found
    who = every(selection.who, selection.key)
    made = _one(selection, _given([selection], entity))
    found = None if who == EVERYTHING else next(requests(who, wanted=False, given=made.values), None)
    if found is not None:
        yield "requests of somebody of whom it does not speak", found


def _selected(selection: Selection, request: Request) -> bool:
    return holds(selection.what, request.values)


def _different(selection: Selection, field: Field, given: Values, count: int) -> list[Request]:
    found: dict[object, Request] = {}
    for number in range(4 * count):
        if field.role == "sketch":
            value = f"203.0.113.{number + 1}" if field.name == "ip" else f"question number {number}"
            one = _one(selection, given)
            found[value] = Request(one.values, {**one.event, field.name: value}, one.facts)
        else:
            for request in islice(_with_field(selection, field, given, number), 8):
                found.setdefault(request.values[field.name], request)
        if len(found) >= count:
            break
    return list(found.values())[:count]


def _with_field(selection: Selection, field: Field, given: Values, number: int) -> Iterator[Request]:
    wanted = every(selection.what, Asked(field, Exists(wanted=True)))
    yield from requests(wanted, wanted=True, given=given, number=number)


def _step(span: Span, count: int) -> float:
    """So far apart that the requests of a case lie in several minutes or hours, where the span has several."""
    bucket = 3600 if span.by_hour else 60
    room = span.seconds - bucket
    return max(1, room // count) if room else max(1, bucket // (count + 1))


def _traffic(request: Request, events: int, *, start_s: float = 0, step_s: float = 1) -> dict[str, Any]:
    found: dict[str, Any] = {"events": events, "event_step_s": _short(step_s), "event": dict(request.event)}
    if start_s:
        found["start_s"] = _short(start_s)
    return found | ({"facts": dict(request.facts)} if request.facts else {})


def _short(seconds: float) -> float:
    rounded = round(seconds, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def _case(name: str, rows: list[dict[str, Any]], fires: int, parameters: Mapping[str, int]) -> Case:
    told = {"parameters": dict(parameters)} if parameters else {}
    return {"name": name, "rows": rows, **told, "expect": {"accounts": fires}}


def _with_look_alike(cases: list[Case]) -> list[Case]:
    if all(case["expect"]["accounts"] for case in cases):
        raise NotExpressibleError(
            "it would tell of every account that sends anything", "a narrower selection, or a higher number"
        )
    return cases
