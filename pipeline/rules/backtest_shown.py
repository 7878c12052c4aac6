"""A backtest as text, as JSON, and as one HTML page with its plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import jinja2
import msgspec

from pipeline import __version__
from pipeline.explain.render import visible
from pipeline.rules.backtest import Backtest, Look
from pipeline.rules.model import Rule
from pipeline.rules.shown import duration

SHOWN: Final = 10
SHOWN_HTML: Final = 200
_WIDTH: Final = 860
_HEIGHT: Final = 120
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_COLUMNS: Final = 72


@dataclass(frozen=True, slots=True)
class Bar:
    """One window in SVG units, with what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    label: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """Accounts by window; ``ticks`` are x and text."""

    width: int
    height: int
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    most: int


def as_text(run: Backtest, rule: Rule) -> str:
    """For a terminal."""
    lines = [f"{run.rule_id}: {visible(run.title)} (version {run.version})", *summary(run, rule)]
    if run.looks:
        lines += ["", f"accounts by window  {sparkline(run, rule)}  up to {max(look.accounts for look in run.looks)}"]
    if run.episodes:
        lines += ["", "what it matched, strongest first (times are ends of windows, UTC)"]
        for one in run.episodes[:SHOWN]:
            alert = ", an alert" if one.alerts else ""
            lines.append(
                f"  {visible(one.group_key)}: {_many(one.accounts, 'account')}, {_many(one.windows, 'window')}, "
                f"{one.strongest:.2f}{alert}, {moment(one.first_end)} to {moment(one.last_end)}"
            )
            lines.append(f"    {visible(one.reason)}")
        lines += _rest(len(run.episodes))
    if len(run.accounts) != len(run.episodes):  # else each account is a group of its own, and has been told
        lines += ["", "accounts, strongest first"]
        lines += [
            f"  {visible(one.account_id)}  {one.strongest:.2f}  {_many(one.windows, 'window')}"
            for one in run.accounts[:SHOWN]
        ]
        lines += _rest(len(run.accounts))
    return "\n".join(lines)


def _rest(count: int) -> list[str]:
    return [f"  and {count - SHOWN} more (--json has all)"] if count > SHOWN else []


def summary(run: Backtest, rule: Rule) -> list[str]:
    """What came out, in sentences."""
    meta = rule.meta
    if not run.looks:
        told = f"From {moment(run.since)} to {moment(run.until)} no window was due"
        return [f"{told}: there are no events, or less than {duration(meta.every)} (every) of them."]
    first = (
        f"From {moment(run.since)} to {moment(run.until)}: {_many(len(run.looks), 'window')} with events, "
        f"of {duration(meta.window)} each, ending every {duration(meta.hop)}."
    )
    lines = [first, *_matched(run, rule)]
    if run.problems:
        why = next(look.problem for look in run.looks if look.problem)
        lines.append(f"Of {_many(run.problems, 'window')} nothing is known: {why}")
    seconds = [look.seconds for look in run.looks]
    lines.append(f"A look took {sum(seconds) / len(seconds):.2f} s on average and {max(seconds):.2f} s at most.")
    return [*lines, *(f"Note: {note}." for note in run.notes)]


def _matched(run: Backtest, rule: Rule) -> Iterator[str]:
    if not run.windows_matched:
        yield "It matched in none of them."
        return
    low, middle, high = run.strengths
    yield (
        f"It matched in {run.windows_matched} of them: {_many(len(run.accounts), 'account')}, "
        f"{_many(len({one.group_key for one in run.episodes}), 'group')} in {_many(len(run.episodes), 'episode')}; "
        f"strengths {low:.2f} to {high:.2f}, half of them from {middle:.2f} on."
    )
    alerts = sum(one.alerts for one in run.episodes)
    yield (
        f"It would have opened {_many(alerts, 'alert')} (strength {rule.meta.alert_at:g} or more)."
        if rule.meta.alert == "match"
        else "It opens no alert of its own (alert: finding); what it finds counts towards scores."
    )


def sparkline(run: Backtest, rule: Rule) -> str:
    """Accounts by window, a column a window or more; windows without events are empty, unknown ones a question mark."""
    by_end = {look.end: look for look in run.looks}
    end, last = run.looks[0].end, run.looks[-1].end
    values: list[Look | None] = []
    while end <= last:
        values.append(by_end.get(end))
        end += rule.meta.hop
    step = -(-len(values) // _COLUMNS)
    most = max(look.accounts for look in run.looks)
    return "".join(_column(values[at : at + step], most) for at in range(0, len(values), step))


def _column(looks: Sequence[Look | None], most: int) -> str:
    there = [look for look in looks if look is not None]
    if not there:
        return " "
    if any(look.problem for look in there):
        return "?"
    accounts = max(look.accounts for look in there)
    return _LEVELS[-(-accounts * (len(_LEVELS) - 1) // most)] if accounts else _LEVELS[0]


def as_json(run: Backtest) -> bytes:
    """All of it."""
    told = {
        **msgspec.to_builtins(run, builtin_types=(datetime,)),
        "windows": len(run.looks),
        "windows_matched": run.windows_matched,
        "windows_failed": run.problems,
        "alerts": sum(one.alerts for one in run.episodes),
    }
    return msgspec.json.encode(told) + b"\n"


def as_html(run: Backtest, rule: Rule, *, written_at: datetime) -> bytes:
    """One page that loads nothing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.rules"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["moment"] = moment
    environment.filters["visible"] = visible
    page = environment.get_template("backtest.html.j2").render(
        run=run,
        lines=summary(run, rule),
        plot=plot(run),
        shown=SHOWN_HTML,
        written_at=written_at,
        version=__version__,
    )
    return page.encode()


def plot(run: Backtest) -> Plot:
    """Bars over time; windows without events leave their place empty."""
    if not run.looks:
        return Plot(_WIDTH, _HEIGHT, (), (), 0)
    first, last = run.looks[0].end, run.looks[-1].end
    step_s = min((b.end - a.end for a, b in zip(run.looks, run.looks[1:], strict=False)), default=last - first)
    slots = round((last - first) / step_s) + 1 if step_s else 1
    wide = _WIDTH / slots
    most = max(look.accounts for look in run.looks)
    bars = []
    for look in run.looks:
        high = 4.0 if look.problem else (_HEIGHT - 16) * look.accounts / most if most else 0.0
        x = round((look.end - first) / step_s) * wide if step_s else 0.0
        label = f"{moment(look.since)} to {moment(look.end)}: {look.problem or _many(look.accounts, 'account')}"
        bars.append(
            Bar(
                round(x + wide * 0.1, 2), round(_HEIGHT - high, 2), round(wide * 0.8, 2), round(high, 2), label,
                look.problem is not None,
            )
        )  # fmt: skip
    ticks = [(0.0, moment(first)), *([(float(_WIDTH - 110), moment(last))] if last > first else [])]
    return Plot(_WIDTH, _HEIGHT, bars, ticks, most)


def moment(when: datetime) -> str:
    """A time as people read it; UTC."""
    return f"{when:%Y-%m-%d %H:%M}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
