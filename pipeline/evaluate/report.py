"""An evaluation as text, JSON, Markdown, or one HTML file that needs nothing beside it."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Final, Literal

import jinja2
import msgspec

from pipeline import __version__
from pipeline.evaluate.intervals import Figure
from pipeline.evaluate.summary import Evaluation, Row
from pipeline.evaluate.tables import draw_curve

Format = Literal["text", "json", "html", "markdown"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json", "html", "markdown")
_WIDTH: Final = 220.0


def render(evaluation: Evaluation, form: Format, *, written_at: datetime) -> bytes:
    """The evaluation in one form, UTF-8; ``written_at`` is wall time, UTC, that pages are dated with."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n"
    if form == "text":
        return "".join(_line(level, row) for level, rows in evaluation.rows.items() for row in rows).encode()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.evaluate"),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "place": _place, "share": _share, "curve": draw_curve, "cell": _cell}
    page = environment.get_template("evaluation.html.j2" if form == "html" else "evaluation.md.j2")
    return page.render(evaluation=evaluation, written_at=written_at, version=__version__, width=_WIDTH).encode()


def shown(row: Row) -> str:
    """The figure with its interval."""
    if not row.percent:
        return f"{row.figure.value:.0f} ({row.figure.low:.0f} to {row.figure.high:.0f})"
    return _share(row.figure)


def _share(figure: Figure) -> str:
    digits = 3 if 0 < figure.value < 0.01 else 1
    value, low, high = (f"{100 * number:.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} % ({low} to {high})"


def _line(level: str, row: Row) -> str:
    verdict = "" if row.met is None else "met" if row.met else "MISSED"
    return f"{level:<9}{row.name:<66}{shown(row):<28}{row.goal:<10}{verdict}\n"


def _cell(text: str) -> str:
    """Text that ends no cell of a table in Markdown and is no HTML: names of scenarios and cohorts may be a user's."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _place(share: float) -> str:
    return f"{_WIDTH * min(1.0, max(0.0, share)):.1f}"
