"""Where things stand in the two pictures: bars over time, and accounts joined to the things they share.

Numbers only; the template draws. A two-column layout needs no library: a thing is joined to accounts, never to things.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.explain.model import Timeline

WIDTH: Final = 860
BARS_HEIGHT: Final = 120
ROW: Final = 18
SHOWN_NODES: Final = 40


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """One bar in SVG units, with what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Bars:
    """The timeline as drawn; ``ticks`` are x and text, ``marks`` x and what happened there."""

    width: int
    height: int
    bars: Sequence[DrawnBar]
    ticks: Sequence[tuple[float, str]]
    most: int
    unit: str
    marks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A thing (left) or an account (right)."""

    y: float
    label: str
    strong: bool  # the account asked about, or one that is named


@dataclass(frozen=True, slots=True)
class Graph:
    """Things on the left, accounts on the right, a line for each pair; ``left_out`` accounts are not drawn."""

    width: int
    height: int
    things: Sequence[Node]
    accounts: Sequence[Node]
    lines: Sequence[tuple[float, float]]
    left_out: int


def draw_bars(
    timeline: Timeline | None, watermark: datetime | None, moments: Sequence[tuple[datetime, str]] = ()
) -> Bars | None:
    """None where there is nothing to draw. Time that is not counted yet is left out: it would look like silence."""
    if timeline is None or not timeline.bars:
        return None
    step = timedelta(minutes=1) if timeline.unit == "minute" else timedelta(hours=1)
    counted = timeline.until if watermark is None else min(timeline.until, watermark)
    end = max(counted, timeline.bars[-1].window_start + step)
    slots = max(1, math.ceil((end - timeline.since) / step))
    until = timeline.since + slots * step
    most = max(bar.events for bar in timeline.bars)
    wide = WIDTH / slots
    bars = [
        DrawnBar(
            x=round((bar.window_start - timeline.since) / step * wide, 2),
            y=round(BARS_HEIGHT * (1 - bar.events / most), 2),
            width=round(max(1.0, wide - 1), 2),
            height=round(BARS_HEIGHT * bar.events / most, 2),
            label=f"{_moment(bar.window_start)} UTC: {bar.events} requests of {bar.accounts} accounts, "
            f"{bar.errors} errors, {bar.refused} refused",
        )
        for bar in timeline.bars
    ]
    ticks = [
        (round(WIDTH * part / 4, 1), _moment(timeline.since + (until - timeline.since) * part / 4)) for part in range(5)
    ]
    marks = [
        (round(WIDTH * ((when - timeline.since) / (until - timeline.since)), 1), f"{_moment(when)} UTC: {what}")
        for when, what in moments
        if timeline.since <= when <= until
    ]
    return Bars(WIDTH, BARS_HEIGHT, bars, ticks, most, timeline.unit, marks)


def draw_graph(accounts: Sequence[tuple[str, Sequence[str], bool]], total: int) -> Graph | None:
    """A graph of the first accounts.

    Args:
        accounts: id, the things it shares, and whether it stands out.
        total: how many accounts there are, drawn or not.
    """
    shown = accounts[:SHOWN_NODES]
    things = sorted({thing for _, shared, _ in shown for thing in shared})
    if not things:
        return None
    height = ROW * max(len(things), len(shown)) + ROW
    place = {thing: height * (n + 1) / (len(things) + 1) for n, thing in enumerate(things)}
    nodes, lines = [], []
    for n, (account, shared, strong) in enumerate(shown):
        y = height * (n + 1) / (len(shown) + 1)
        nodes.append(Node(round(y, 1), account, strong))
        lines += [(round(place[thing], 1), round(y, 1)) for thing in shared]
    drawn = [Node(round(place[thing], 1), thing, strong=False) for thing in things]
    return Graph(WIDTH, height, drawn, nodes, lines, max(0, total - len(shown)))


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"
