"""An explanation as text, JSON, or one HTML file that needs nothing beside it.

Everything from the data is hostile: HTML is escaped by the template engine, and characters that print as nothing, turn
the direction of writing or steer a terminal are shown as their codes in every format for people.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from datetime import datetime
from typing import Final, Literal

import jinja2
import msgspec
from markupsafe import Markup

from pipeline import __version__
from pipeline.explain.model import AccountReport, Report, Signal
from pipeline.explain.picture import Graph, draw_bars, draw_graph

Format = Literal["text", "json", "html"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json", "html")
SHOWN_MEMBERS: Final = 200
SHOWN_SIGNALS: Final = 40
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def render(report: Report, form: Format, *, written_at: datetime) -> bytes:
    """The explanation in one form, UTF-8.

    Args:
        report: what to say.
        form: for whom: JSON has all of it, text and HTML the first SHOWN_MEMBERS accounts of a campaign.
        written_at: wall time, UTC, that text and HTML are dated with.
    """
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    text = (
        _environment(form)
        .get_template(f"{report.kind}.{form}.j2")
        .render(
            report=report,
            bars=draw_bars(report.timeline, report.store.watermark, _moments(report)),
            graph=_graph(report),
            shown_members=SHOWN_MEMBERS,
            shown_signals=SHOWN_SIGNALS,
            seen=_seen(report),
            written_at=written_at,
            version=__version__,
        )
    )
    return text.encode()


def visible(text: str) -> str:
    """The text with characters that cannot be seen, or do something, shown as their codes; line ends too."""
    return "".join(f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _HIDDEN else char for char in text)


def _seen(report: Report) -> list[tuple[Signal, int]]:
    """Of an account's signals the strongest of each rule and thing, and in how many other windows it was seen.

    A signal that counts stands for itself. JSON and the view have all.
    """
    if not isinstance(report, AccountReport):
        return []
    first: dict[tuple[str, str], Signal] = {}
    others: Counter[tuple[str, str]] = Counter()
    for signal in sorted(report.signals, key=lambda one: not one.counts):
        key = (signal.rule_id, signal.group_key)
        others[key] += key in first
        first.setdefault(key, signal)
    shown = sorted(first.items(), key=lambda item: report.signals.index(item[1]))
    return [(signal, others[key]) for key, signal in shown]


def _moments(report: Report) -> list[tuple[datetime, str]]:
    if isinstance(report, AccountReport):
        return []
    return [(event.event_until, visible(f"{event.change}, {event.accounts} accounts")) for event in report.events]


def _graph(report: Report) -> Graph | None:
    if isinstance(report, AccountReport):
        own = sorted({signal.group_key for signal in report.signals if not signal.group_key.startswith("account:")})
        accounts = [
            (report.account.account_id, own, True),
            *((item.account_id, item.group_keys, item.named) for item in report.companions),
        ]
        return draw_graph(accounts, report.companions_total + 1)
    members = [(item.account_id, item.group_keys, item.named) for item in report.members]
    return draw_graph(members, len(members))


@functools.cache
def _environment(form: Format) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.explain"),
        autoescape=form == "html",  # noqa: S701 - text is for terminals; `visible` guards that
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"moment": _moment, "short": _short, "number": _number}
    return environment


def _finalize(value: object) -> object:
    """What an expression gives before it is escaped; a value that is not known says so."""
    if value is None:
        return "not known"
    if isinstance(value, Markup):
        return value  # a macro's result: its parts went through here
    return visible(value) if isinstance(value, str) else value


def _moment(when: datetime | None) -> str:
    return "not known" if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"
