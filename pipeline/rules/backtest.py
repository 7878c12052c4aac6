"""A rule over what is stored, window by window as it would have run: when it would have fired, on whom, how strongly.

Reads only. Windows are those of live evaluation (``detect.schedule``); each is looked at once, at its end, and not
while it fills. Facts about accounts, releases and known sets are as they are known today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final, Protocol

import polars as pl
import pyarrow as pa

from pipeline.clock import Clock
from pipeline.detect.schedule import due_windows, floor_to
from pipeline.errors import QueryError, UsageError
from pipeline.rules.model import Rule, Window
from pipeline.rules.run import RuleResultError, checked
from pipeline.sql_text import used

_PANE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_BOUNDS: Final = """
select
    (select min(window_start) from fingerprints_1h) as first_hour,
    (select min(window_start) from fingerprints_1m) as first_pane,
    (select max(window_start) from fingerprints_1m) as last_pane,
    (select max(window_start) from fingerprints_1h) as last_hour
"""
_ACTIVE: Final = "select distinct window_start from fingerprints_1h where kind = 'account' order by window_start"


class Answered(Protocol):
    """What comes of a question."""

    @property
    def table(self) -> pa.Table:
        """Its rows."""
        ...

    @property
    def truncated(self) -> bool:
        """There were more."""
        ...


class Source(Protocol):
    """A store to ask; ``serve.ask`` has it, through the file or through who serves it."""

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answered:
        """An analyst query."""
        ...

    def look(self, rule: Rule, since: datetime, until: datetime, *, timeout_s: float) -> Answered:
        """A rule over ``[since, until)``."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """What of a store can be looked at: event time. ``first_pane``: before it there are hours and no minutes."""

    first: datetime
    first_pane: datetime | None
    until: datetime
    active_hours: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Look:
    """One window. ``end`` names it; ``problem``: why nothing is known of it."""

    since: datetime
    end: datetime
    rows: int = 0
    accounts: int = 0
    groups: int = 0
    strongest: float | None = None
    seconds: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One group key from the first window in which it matched to the last, without a longer pause."""

    group_key: str
    first_end: datetime
    last_end: datetime
    windows: int
    accounts: int
    strongest: float
    alerts: bool  # it would have opened an alert of its own
    reason: str  # of the strongest match


@dataclass(frozen=True, slots=True)
class Caught:
    """One account that it speaks about."""

    account_id: str
    windows: int
    strongest: float
    first_end: datetime
    last_end: datetime


@dataclass(frozen=True, slots=True)
class Backtest:
    """All that came out; the strongest episodes and accounts first."""

    rule_id: str
    title: str
    version: str
    parameters: Mapping[str, float]
    since: datetime
    until: datetime
    looks: Sequence[Look]
    episodes: Sequence[Episode]
    accounts: Sequence[Caught]
    strengths: Sequence[float]  # lowest, median and highest of the matches; empty without any
    notes: Sequence[str]

    @property
    def windows_matched(self) -> int:
        """Windows in which it found something."""
        return sum(look.rows > 0 for look in self.looks)

    @property
    def problems(self) -> int:
        """Windows of which nothing is known."""
        return sum(look.problem is not None for look in self.looks)


def span_of(source: Source, *, timeout_s: float) -> Span:
    """What can be looked at.

    Raises:
        UsageError: there are no events in the store.
    """
    [row] = source.query(_BOUNDS, max_rows=None, timeout_s=timeout_s).table.to_pylist()
    if row["first_hour"] is None:
        raise UsageError("there are no events in the store", next_step="name another one by --store")
    ends = [row["last_hour"] + _HOUR if row["last_pane"] is None else row["last_pane"] + _PANE]
    active = source.query(_ACTIVE, max_rows=None, timeout_s=timeout_s).table.to_pylist()
    return Span(row["first_hour"], row["first_pane"], max(ends), [hour["window_start"] for hour in active])


def windows_of(rule: Rule, span: Span, since: datetime, until: datetime) -> list[Window]:
    """The windows that end after ``since`` and begin to fill before ``until``, as live evaluation has them."""
    active = [hour for hour in span.active_hours if hour < until]
    return due_windows(rule.meta, done=since, watermark=until, changed=None, active_hours=active)


def backtest(
    source: Source,
    rule: Rule,
    span: Span,
    since: datetime,
    until: datetime,
    *,
    clock: Clock,
    timeout_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Run the rule over each window. Blocks for as long as that takes.

    A window that fails is told and passed over, but for the first: what is wrong there is wrong everywhere, mostly.

    Args:
        source: the store.
        rule: with the parameters that are tried.
        span: of the store.
        since: windows that end later are looked at.
        until: and those that begin to fill before.
        clock: by which looks are measured.
        timeout_s: for one window.
        progress: told how many windows of how many are done.

    Raises:
        QueryError: the first look failed.
        RuleResultError: it gave what is no result of a rule.
    """
    windows = windows_of(rule, span, since, until)
    looks: list[Look] = []
    found, cut = _Found(rule), False
    for number, window in enumerate(windows):
        begun_s = clock.monotonic()
        try:
            answer = source.look(rule, window.since, window.until, timeout_s=timeout_s)
            frame = checked(rule.rule_id, answer.table)
        except (QueryError, RuleResultError) as error:
            if not looks:
                raise
            looks.append(Look(window.since, window.end, problem=error.message))
        else:
            cut = cut or answer.truncated
            found.add(window, frame)
            looks.append(_look(window, frame, clock.monotonic() - begun_s))
        if progress is not None:
            progress(number + 1, len(windows))
    return Backtest(
        rule_id=rule.rule_id,
        title=rule.meta.title,
        version=rule.version,
        parameters=dict(rule.parameters),
        since=since,
        until=until,
        looks=looks,
        episodes=found.episodes(),
        accounts=found.caught(),
        strengths=found.strengths(),
        notes=list(_notes(rule, span, windows, cut=cut)),
    )


def _look(window: Window, frame: pl.DataFrame, seconds: float) -> Look:
    strongest = frame["strength"].max()
    return Look(
        window.since,
        window.end,
        frame.height,
        frame["account_id"].n_unique(),
        frame["group_key"].n_unique(),
        None if strongest is None else float(str(strongest)),
        seconds,
    )


@dataclass(slots=True)
class _Found:
    """Matches of all windows, as little of each as is told in the end."""

    rule: Rule
    _groups: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    _accounts: dict[str, list[tuple[datetime, float]]] = field(default_factory=lambda: defaultdict(list))
    _members: dict[tuple[str, datetime], set[str]] = field(default_factory=dict)
    _strengths: list[float] = field(default_factory=list)

    def add(self, window: Window, frame: pl.DataFrame) -> None:
        """Windows come in the order of their ends."""
        best = frame.sort("strength", descending=True).group_by("group_key", maintain_order=True)
        for row in best.agg(
            pl.col("strength").first(), pl.col("reason").first(), pl.col("account_id").unique()
        ).iter_rows(named=True):
            key = str(row["group_key"])
            self._members[key, window.end] = set(row["account_id"])
            self._groups[key].append({"end": window.end, "strength": row["strength"], "reason": row["reason"]})
        for account, strength in frame.group_by("account_id").agg(pl.col("strength").max()).iter_rows():
            self._accounts[account].append((window.end, strength))
        self._strengths += frame["strength"].to_list()

    def episodes(self) -> list[Episode]:
        """Strongest first."""
        found = [
            self._episode(key, part)
            for key, seen in self._groups.items()
            for part in _without_pause(seen, self.rule.meta.hop + self.rule.meta.keep_firing_for)
        ]
        return sorted(found, key=lambda one: (-one.strongest, -one.accounts, one.group_key, one.first_end))

    def _episode(self, key: str, seen: Sequence[Mapping[str, Any]]) -> Episode:
        meta = self.rule.meta
        strongest = max(seen, key=lambda one: one["strength"])
        first, last = seen[0]["end"], seen[-1]["end"]
        long_enough = last - first >= meta.pending_for
        return Episode(
            key,
            first,
            last,
            len(seen),
            len(set().union(*(self._members[key, one["end"]] for one in seen))),
            strongest["strength"],
            meta.alert == "match" and strongest["strength"] >= meta.alert_at and long_enough,
            strongest["reason"],
        )

    def caught(self) -> list[Caught]:
        """Strongest first."""
        found = [
            Caught(account, len(seen), max(strength for _, strength in seen), seen[0][0], seen[-1][0])
            for account, seen in self._accounts.items()
        ]
        return sorted(found, key=lambda one: (-one.strongest, -one.windows, one.account_id))

    def strengths(self) -> list[float]:
        """Lowest, median, highest."""
        return [min(self._strengths), median(self._strengths), max(self._strengths)] if self._strengths else []


def _without_pause(seen: Iterable[dict[str, Any]], longest: timedelta) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    for one in seen:
        if part and one["end"] - part[-1]["end"] > longest:
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _notes(rule: Rule, span: Span, windows: Sequence[Window], *, cut: bool) -> Iterator[str]:
    if windows and "fingerprints_1m" in used(f"{rule.sql}\n{rule.behind}", {"fingerprints_1m": ""}):
        reach = span.first_pane
        if reach is None or floor_to(windows[0].since, _HOUR) < floor_to(reach, _HOUR) > span.first:
            shown = "are gone" if reach is None else f"reach back to {reach:%Y-%m-%d %H:%M} UTC"
            yield f"the minutes of fingerprints_1m {shown} (store.retention_panes_h): windows before saw too little"
    if rule.meta.pending_for:
        yield "for: how long it matched is told by the ends of windows, to the nearest hop"
    if windows and windows[-1].until < windows[-1].end:
        yield "the last window was still filling"
    if cut:
        yield "of a window only the first 100,000 rows were taken"
