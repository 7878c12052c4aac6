"""A backtest finds what live evaluation finds, in the same windows; writes nothing, and says what it does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.clock import ManualClock
from pipeline.config import StoreSettings
from pipeline.errors import QueryError, UsageError
from pipeline.rules.backtest import Backtest, backtest, span_of
from pipeline.rules.backtest_shown import as_html, as_json, as_text, plot, sparkline
from pipeline.rules.load import RuleSet, load_directory, override
from pipeline.rules.model import Rule
from pipeline.serve.ask import FileAsker
from pipeline.serve.view import Answer
from pipeline.testing import START, Bench
from tests.rules.test_load import YAML, write

# Bursts at noon, at three in the afternoon, and again a day later; in between there is nothing.
HOURS = (0, 3, 27)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        made.add_events(
            [
                {"account_id": account, "timestamp": START + timedelta(hours=hour, minutes=minute)}
                for hour in HOURS
                for account, events in (("busy", 9), ("calm", 2))
                for minute in range(events)
            ]
        )
        yield made


def rule(tmp_path: Path, yaml: str = YAML) -> Rule:
    return load_directory(write(tmp_path / "mine", yaml=yaml)).rules["mine"]


def run(bench: Bench, rule: Rule, since: datetime | None = None, until: datetime | None = None) -> Backtest:
    source = FileAsker(bench.store, StoreSettings())
    span = span_of(source, timeout_s=30)
    begin, end = since or span.first, until or span.until
    return backtest(source, rule, span, begin, end, clock=ManualClock(START), timeout_s=30)


def test_it_finds_what_live_evaluation_finds_window_by_window(bench: Bench, tmp_path: Path) -> None:
    mine = rule(tmp_path)
    found = run(bench, mine)
    bench.detect(RuleSet({"mine": mine}))
    live = bench.sql("select window_end, count(*) as n from signals group by window_end order by window_end")
    assert [(look.end, look.rows) for look in found.looks if look.rows] == live.rows()
    assert live.height == 5  # two windows of two hours see each burst; the last has not begun
    bench.store.connection.execute("delete from signal")


def test_nothing_is_written(bench: Bench, tmp_path: Path) -> None:
    tables = [row[0] for row in bench.store.connection.execute("select table_name from duckdb_tables()").fetchall()]

    def sizes() -> list[Any]:
        return [bench.store.connection.execute(f"select count(*) from {name}").fetchone() for name in tables]

    before = sizes()
    assert run(bench, rule(tmp_path)).windows_matched == 5
    assert sizes() == before


def test_episodes_end_with_a_pause_and_alerts_are_those_of_the_rule(bench: Bench, tmp_path: Path) -> None:
    found = run(bench, rule(tmp_path))
    # Windows end at 13, 14 | 16, 17 | 16 of the next day; a pause of two hours (hop and keep_firing_for) is none.
    assert [(one.group_key, one.windows) for one in found.episodes] == [("account:busy", 4), ("account:busy", 1)]
    assert [one.alerts for one in found.episodes] == [False, False]
    assert [(one.account_id, one.windows) for one in found.accounts] == [("busy", 5)]
    told = YAML.replace("evidence: usage", "evidence: usage\nalert: match\nalert_at: 0.4\nfor: 2h")
    assert [one.alerts for one in run(bench, rule(tmp_path, told)).episodes] == [
        True,
        False,
    ]  # the second has just begun
    brief = YAML.replace("evidence: usage", "evidence: usage\nkeep_firing_for: 0")
    assert len(run(bench, rule(tmp_path, brief)).episodes) == 3


def test_other_parameters_and_other_times(bench: Bench, tmp_path: Path) -> None:
    mine = rule(tmp_path)
    assert run(bench, override(mine, {"least": 10})).windows_matched == 0
    assert len(run(bench, override(mine, {"least": 1})).accounts) == 2
    day = run(bench, mine, START + timedelta(hours=20))
    assert [look.end for look in day.looks if look.rows] == [START + timedelta(hours=h) for h in (28,)]
    early = run(bench, mine, START, START + timedelta(hours=2))
    assert [(look.end, look.rows) for look in early.looks] == [(START + timedelta(hours=h), 1) for h in (1, 2)]


def test_a_time_without_events_has_no_window(bench: Bench, tmp_path: Path) -> None:
    mine = rule(tmp_path)
    found = run(bench, mine, START + timedelta(hours=8), START + timedelta(hours=20))
    assert found.looks == []
    assert "no window was due" in as_text(found, mine)
    assert as_html(found, mine, written_at=START)


def test_an_empty_store_says_so() -> None:
    with Bench() as empty, pytest.raises(UsageError, match="no events"):
        span_of(FileAsker(empty.store, StoreSettings()), timeout_s=5)


class Failing(FileAsker):
    """A store in which the second look takes too long, and the third returns nonsense."""

    asked = 0

    def look(self, *arguments: Any, **options: Any) -> Answer:
        self.asked += 1
        if self.asked == 2:
            raise QueryError("the query took longer than 1 s and was stopped")
        if self.asked == 3:
            return Answer(pa.table({"account_id": ["a"]}), truncated=False)
        return super().look(*arguments, **options)


def test_a_window_that_fails_is_told_and_the_others_go_on(bench: Bench, tmp_path: Path) -> None:
    source, mine = Failing(bench.store, StoreSettings()), rule(tmp_path)
    span = span_of(source, timeout_s=5)
    found = backtest(source, mine, span, span.first, span.until, clock=ManualClock(START), timeout_s=5)
    assert (found.problems, found.windows_matched) == (2, 3)
    text = as_text(found, mine)
    assert "Of 2 windows nothing is known: the query took longer" in text
    assert sparkline(found, mine).startswith("█? ?")
    assert json.loads(as_json(found))["windows_failed"] == 2


def test_minutes_that_are_gone_are_told_of(bench: Bench, tmp_path: Path) -> None:
    mine = replace(rule(tmp_path), behind="select 1 from fingerprints_1m")
    source = FileAsker(bench.store, StoreSettings())
    span = span_of(source, timeout_s=5)
    later = replace(span, first_pane=span.first + timedelta(hours=3))
    found = backtest(source, mine, later, span.first, span.until, clock=ManualClock(START), timeout_s=5)
    assert any("fingerprints_1m reach back to 2026-01-05 15:00 UTC" in note for note in found.notes)
    whole = backtest(source, mine, span, span.first, span.until, clock=ManualClock(START), timeout_s=5)
    assert not any("fingerprints_1m" in note for note in whole.notes)


def test_the_plot_has_a_bar_a_window_and_empty_places(bench: Bench, tmp_path: Path) -> None:
    mine = rule(tmp_path)
    found = run(bench, mine)
    drawn = plot(found)
    assert len(drawn.bars) == len(found.looks)
    assert drawn.most == 1
    assert max(bar.x + bar.width for bar in drawn.bars) <= drawn.width
    line = sparkline(found, mine)
    assert line[0] == "█"
    assert " " in line  # at night there were no events


def test_the_page_is_escaped_and_loads_nothing(bench: Bench, tmp_path: Path) -> None:
    mine = rule(tmp_path, YAML.replace("title: A rule", "title: <script>alert(1)</script>"))
    page = as_html(run(bench, mine), mine, written_at=START).decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<rect") == len(run(bench, mine).looks)
