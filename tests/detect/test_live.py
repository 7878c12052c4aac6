"""Rules that are looked at in between, over panes that still fill: sooner, and the same in the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.detect import Detector
from pipeline.detect.rests import LIVE_EVERY_S, LIVE_SHARE
from pipeline.detect.schedule import live_window
from pipeline.metrics import Metrics
from pipeline.rules import RuleAbortedError, RuleSet, load_rules
from pipeline.rules.run import evaluate
from tests.detect.world import MINUTES, START, Tx, world

SETTINGS = Settings()
END = START + timedelta(minutes=MINUTES)
TOOL = pl.col("account_id") == "nightly"
SQL = """
select
    'account' as dimension, entity_id, entity_id as account_id, 'account:' || entity_id as group_key,
    sum(events) / (sum(events) + 10) as strength, 'it sends' as reason,
    min(first_seen) as first_seen, max(last_seen) as last_seen
from fingerprints_1m
where kind = 'account' and window_start >= $since::timestamptz and window_start < $until::timestamptz
    and entity_id = 'nightly'
group by entity_id
"""
EVENTS, FACTS = world()


def rule_set(*, live: bool, sql: str = SQL) -> RuleSet:
    shipped = load_rules(SETTINGS.rules).rules["banned_still_served"]
    meta = shipped.meta.model_copy(update={"live": live})
    return RuleSet({"mine": replace(shipped, rule_id="mine", sql=sql, parameters={}, meta=meta)})


def told(tx: Tx) -> list[tuple[Any, ...]]:
    return tx.execute("select account_id, strength, window_end, last_seen from signals order by all").fetchall()


def early(tx: Tx, inspector: Detector, minute: float) -> None:
    """Events up to ``minute`` are there; the watermark is ten seconds behind, in the minute before the last."""
    tx.add(EVENTS.filter(TOOL & (pl.col("timestamp") < START + timedelta(minutes=minute))), FACTS)
    inspector.run(tx, watermark=START + timedelta(minutes=minute, seconds=-10), changed_since=START)


@pytest.mark.parametrize("live", [True, False])
def test_what_came_a_moment_ago_is_found_before_its_pane_closes(live: bool) -> None:
    # The first look of five minutes is due at 12:05; at 12:01:30 only a live rule has looked.
    tx, clock = Tx(), ManualClock(END)
    inspector = Detector(SETTINGS, rule_set(live=live), clock, Metrics(), paced=True)
    tx.add(EVENTS.filter(~TOOL), FACTS)
    inspector.run(tx, watermark=START + timedelta(seconds=1), changed_since=START)
    clock.advance(60)
    early(tx, inspector, 1.5)
    assert [account for account, *_ in told(tx)] == (["nightly"] if live else [])


def test_in_the_end_stands_what_an_analysis_of_the_whole_finds() -> None:
    whole, step = Tx(), Tx()
    whole.add(EVENTS, FACTS)
    later = END + timedelta(hours=2)
    Detector(SETTINGS, rule_set(live=False), ManualClock(END), Metrics()).run(whole, watermark=later)
    clock = ManualClock(END)
    inspector = Detector(SETTINGS, rule_set(live=True), clock, Metrics(), paced=True)
    for minute in range(MINUTES + 1):
        at = START + timedelta(minutes=minute)
        part = EVENTS.filter((pl.col("timestamp") >= at) & (pl.col("timestamp") < at + timedelta(minutes=1)))
        step.add(part, FACTS)
        clock.advance(10)
        inspector.run(step, watermark=at + timedelta(seconds=50), changed_since=at)
    assert told(step)
    inspector.run(step, watermark=later)
    assert told(step) == told(whole)


@pytest.mark.parametrize(("takes_s", "rests_s"), [(0.01, LIVE_EVERY_S), (0.5, 0.5 / LIVE_SHARE)])
def test_it_looks_each_second_at_most_and_a_third_of_the_time(
    monkeypatch: pytest.MonkeyPatch, takes_s: float, rests_s: float
) -> None:
    clock, looks = ManualClock(END), list[float]()

    def slow(*asked: Any, **limits: Any) -> pl.DataFrame:
        looks.append(clock.monotonic())
        clock.advance(takes_s)
        return evaluate(*asked, **limits)

    monkeypatch.setattr("pipeline.detect.detector.evaluate", slow)
    tx = Tx()
    inspector = Detector(SETTINGS, rule_set(live=True), clock, Metrics(), paced=True)
    early(tx, inspector, 6.5)
    assert len(looks) == 2  # behind the watermark, and in between
    came = START + timedelta(minutes=6)

    def something_came(after_s: float) -> int:
        clock.advance(after_s)
        inspector.run(tx, watermark=START + timedelta(minutes=6, seconds=20), changed_since=came)
        return len(looks)

    assert something_came(rests_s - takes_s - 0.1) == 2
    clock.advance(0.2)
    inspector.run(tx, watermark=START + timedelta(minutes=6, seconds=20))
    assert len(looks) == 2  # nothing came
    assert something_came(0.0) == 3
    assert something_came(0.1) == 3


def test_nothing_is_judged_anew_where_a_look_finds_what_stands() -> None:
    tx, clock = Tx(), ManualClock(END)
    inspector = Detector(SETTINGS, rule_set(live=True), clock, Metrics(), paced=True)
    early(tx, inspector, 6.5)
    clock.advance(10)
    watermark = START + timedelta(minutes=6, seconds=20)
    assert not inspector.run(tx, watermark=watermark, changed_since=START).evaluated


def test_one_that_fails_rests_as_others_do() -> None:
    tx, clock = Tx(), ManualClock(END)
    sql = "select error('boom') from links where $since < $until"
    inspector = Detector(SETTINGS, rule_set(live=True, sql=sql), clock, Metrics(), paced=True)
    tx.add(EVENTS, FACTS)
    tx.execute("begin")
    with pytest.raises(RuleAbortedError, match="boom"):
        inspector.run(tx, watermark=END, changed_since=START)
    tx.execute("rollback")
    assert not inspector.run(tx, watermark=END, changed_since=START).evaluated


def test_only_what_alerts_by_itself_may_be_live() -> None:
    meta = load_rules(SETTINGS.rules).rules["shared_prompt"].meta
    with pytest.raises(ValueError, match="live: true is for rules that alert by themselves"):
        type(meta).model_validate({**raw("shared_prompt"), "live": True})


def raw(name: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    from pipeline.resources import sql_dir  # noqa: PLC0415

    found: dict[str, Any] = yaml.safe_load((sql_dir("rules") / f"{name}.yml").read_text())
    return found


def test_the_window_that_fills_ends_with_the_minute_of_the_newest_event() -> None:
    meta = load_rules(SETTINGS.rules).rules["banned_still_served"].meta  # windows of two hours, ending each hour
    window = live_window(meta, newest=START + timedelta(minutes=59, seconds=30))
    assert (window.since, window.until, window.end) == (
        START - timedelta(hours=1),
        START + timedelta(hours=1),
        START + timedelta(hours=1),
    )
    window = live_window(meta, newest=START + timedelta(seconds=5))
    assert (window.until, window.end) == (START + timedelta(minutes=1), START + timedelta(hours=1))
