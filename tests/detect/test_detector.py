"""The campaign is named, nobody else is, and batching does not matter; then its alert, once."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.alerts import update_alerts
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.delivery.endpoints import Endpoints
from pipeline.detect import DetectionResult, Detector
from pipeline.detect.detector import PASS_S
from pipeline.detect.rests import COSTLY_SHARE, OFF_AFTER, OFF_S
from pipeline.detect.trouble import rule_trouble
from pipeline.metrics import Metrics
from pipeline.rules import RuleAbortedError, RuleSet, load_rules
from pipeline.rules.run import evaluate
from tests.detect.world import MINUTES, START, Tx, world

END = START + timedelta(minutes=MINUTES)
SETTINGS = Settings.model_validate(
    {
        "webhook": {
            "url": "http://127.0.0.1:9/",
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "allow_http": True,
            "allow": ["127.0.0.1"],
        }
    }
)
RULES = load_rules(SETTINGS.rules)
ENDPOINTS = Endpoints.of_settings(SETTINGS.webhook)


def detector(clock: ManualClock, rules: RuleSet = RULES) -> Detector:
    return Detector(SETTINGS, rules, clock, Metrics())


def named(tx: Tx) -> list[tuple[str, float]]:
    rows = tx.execute("select account_id, score from suspicious_accounts order by account_id").fetchall()
    return [(account, round(score, 9)) for account, score in rows]


def signals(tx: Tx) -> pl.DataFrame:
    return tx.execute("select * from signals order by rule_id, window_end, entity_id, account_id, group_key").pl()


def tell(tx: Tx, result: DetectionResult, clock: ManualClock) -> list[tuple[str, str, str]]:
    changes = update_alerts(tx, result, now=clock.now(), endpoints=ENDPOINTS, metrics=Metrics(), rules=RULES)
    return [(change.type, change.alert_id, change.message_id) for change in changes]


@pytest.fixture(scope="module")
def full() -> Tx:
    tx = Tx()
    tx.add(*world())
    detector(ManualClock(END)).run(tx, watermark=END)
    return tx


def test_the_planted_accounts_are_named_and_nobody_else(full: Tx) -> None:
    accounts = {account for account, _ in named(full)}
    assert all(account.startswith("camp") for account in accounts)
    assert len(accounts) >= 0.95 * 120
    campaigns = full.execute("select named_accounts from campaigns").fetchall()
    assert campaigns == [(len(accounts),)]


def test_look_alikes_have_signals_and_stay_unnamed(full: Tx) -> None:
    weak = dict(
        full.execute("select entity_id, score from findings where entity_id in ('nightly', 'backfill')").fetchall()
    )
    assert set(weak) == {"nightly", "backfill"}
    assert all(score < 0.9 for score in weak.values())


def test_every_score_can_be_recomputed_by_hand(full: Tx) -> None:
    strongest = signals(full).group_by("account_id", "evidence").agg(pl.col("strength").max())
    by_hand = {
        account: 1 - math.prod(1 - value for value in group["strength"])
        for (account,), group in strongest.group_by("account_id")
    }
    stored = dict(full.execute("select entity_id, score from findings where dimension = 'account'").fetchall())
    assert stored == pytest.approx(by_hand)


def test_many_small_passes_name_the_same_as_one(full: Tx) -> None:
    events, facts = world()
    tx, clock = Tx(), ManualClock(START)
    inspector = detector(clock)
    for minute in range(1, MINUTES + 1):
        clock.advance(60)
        until = START + timedelta(minutes=minute)
        tx.add(events.filter(pl.col("timestamp").is_between(until - timedelta(minutes=1), until, closed="left")), facts)
        inspector.run(tx, watermark=until)
    assert named(tx) == named(full)
    # Accounts are seen first in another order on the way, so only what does not depend on it is compared.
    assert signals(tx).drop("reason").equals(signals(full).drop("reason"))


def test_a_pass_without_news_does_nothing(full: Tx) -> None:
    before = signals(full)
    result = detector(ManualClock(END)).run(full, watermark=END)
    assert not result.evaluated
    assert signals(full).equals(before)


def test_late_data_makes_rules_look_again() -> None:
    events, facts = world()
    late = pl.col("account_id").str.starts_with("camp")
    tx, clock = Tx(), ManualClock(END)
    tx.add(events.filter(~late), facts)
    inspector = detector(clock)
    inspector.run(tx, watermark=END)
    assert named(tx) == []
    tx.add(events.filter(late), facts)
    clock.advance(30)
    inspector.run(tx, watermark=END, changed_since=START)
    assert len(named(tx)) >= 0.95 * 120


def test_a_costly_rule_looks_less_often_and_finds_the_same(full: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    events, facts = world()
    late = pl.col("account_id").str.starts_with("camp")
    tx, clock = Tx(), ManualClock(END)

    def slow(*asked: Any, **limits: Any) -> pl.DataFrame:
        clock.advance(3)
        return evaluate(*asked, **limits)

    monkeypatch.setattr("pipeline.detect.detector.evaluate", slow)
    rules = RuleSet({"shared_prompt": RULES.rules["shared_prompt"]})
    inspector = Detector(SETTINGS, rules, clock, Metrics(), paced=True)
    tx.add(events.filter(~late), facts)
    assert inspector.run(tx, watermark=END).windows
    tx.add(events.filter(late), facts)
    clock.advance(30)
    assert not inspector.run(tx, watermark=END, changed_since=START).evaluated
    # What it was told of meanwhile is in the store: it is looked at later, whether or not the process lives on.
    clock.advance(3 / COSTLY_SHARE - 3 - 31)  # a look's cost, however many windows were due at once
    assert not inspector.run(tx, watermark=END).evaluated
    clock.advance(2)
    assert inspector.run(tx, watermark=END).windows
    assert signals(tx).drop("reason").equals(signals(full).filter(pl.col("rule_id") == "shared_prompt").drop("reason"))


def test_a_pass_that_has_taken_long_leaves_the_rest_to_the_next_one(full: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    events, facts = world()
    clock, order = ManualClock(END), list[str]()

    def slow(*asked: Any, **limits: Any) -> pl.DataFrame:
        order.append(asked[1].rule_id)
        clock.advance(PASS_S / 2 + 0.1)
        return evaluate(*asked, **limits)

    monkeypatch.setattr("pipeline.detect.detector.evaluate", slow)
    names = sorted(rule.rule_id for rule in RULES if rule.meta.window >= timedelta(hours=24))
    rules = RuleSet({name: RULES.rules[name] for name in names})
    tx = Tx()
    tx.add(events, facts)
    inspector, passes = Detector(SETTINGS, rules, clock, Metrics(), paced=True), list[set[str]]()
    while looked := inspector.run(tx, watermark=END).windows:
        passes.append(set(looked))
        clock.advance(3600)
    # Two looks a pass, or one rule with more of them; each rule once, though the first ones stand first in each pass.
    looked_at = list(dict.fromkeys(order))
    assert looked_at == sorted(looked_at)
    assert [name for looked in passes for name in sorted(looked)] == looked_at
    assert len(looked_at) > 4
    assert {len(looked) for looked in passes} <= {1, 2}
    both = (signals(one).filter(pl.col("rule_id").is_in(names)).drop("reason") for one in (tx, full))
    assert next(both).equals(next(both))


def test_a_rule_that_will_take_long_is_the_first_of_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = ManualClock(END), list[str]()

    def slow(*asked: Any, **limits: Any) -> pl.DataFrame:
        order.append(asked[1].rule_id)
        clock.advance(PASS_S if asked[1].rule_id == "shared_prompt" else 0.1)
        return evaluate(*asked, **limits)

    tx = Tx()
    tx.add(*world())
    rules = RuleSet({name: RULES.rules[name] for name in ("asks_for_reasoning", "shared_client", "shared_prompt")})
    inspector = Detector(SETTINGS, rules, clock, Metrics(), paced=True)
    monkeypatch.setattr("pipeline.detect.detector.evaluate", slow)
    passes = []
    for minute in range(3):
        order.clear()
        inspector.run(tx, watermark=END + timedelta(minutes=minute))
        passes.append(list(order))
        clock.advance(3600)
    # What it takes is known after the first; then it waits until it has waited longest, and is looked at all the same.
    assert passes == [
        ["asks_for_reasoning", "shared_client", "shared_prompt"],
        ["asks_for_reasoning", "shared_client"],
        ["shared_prompt"],
    ]
    # What a rule took before its files changed says nothing of what it takes now.
    changed = replace(rules.rules["shared_prompt"], sql=rules.rules["shared_prompt"].sql + "-- mended")
    inspector.use(RuleSet({**rules.rules, "shared_prompt": changed}))
    order.clear()
    inspector.run(tx, watermark=END + timedelta(minutes=3))
    assert order == ["asks_for_reasoning", "shared_client", "shared_prompt"]


def test_late_data_that_comes_while_a_rule_rests_is_looked_at_afterwards(full: Tx) -> None:
    rule = RULES.rules["shared_prompt"]
    broken = replace(rule, sql="select error('boom') from links where $since < $until", parameters={})
    events, facts = world()
    tx, clock = Tx(), ManualClock(END)
    tx.add(events.filter(pl.col("account_id").str.starts_with("camp").not_()), facts)
    detector(clock, RuleSet({rule.rule_id: rule})).run(tx, watermark=END)
    rules = RuleSet({rule.rule_id: broken})
    inspector = detector(clock, rules)
    tx.execute("begin")
    with pytest.raises(RuleAbortedError, match="boom"):
        inspector.run(tx, watermark=END, changed_since=START)
    tx.execute("rollback")
    tx.add(events.filter(pl.col("account_id").str.starts_with("camp")), facts)
    inspector.run(tx, watermark=END, changed_since=START)
    detector(clock, RuleSet({rule.rule_id: rule})).run(tx, watermark=END)
    assert signals(tx).drop("reason").equals(signals(full).filter(pl.col("rule_id") == "shared_prompt").drop("reason"))


def test_a_rule_that_fails_does_not_stop_the_others() -> None:
    rule = RULES.rules["full_speed_new_account"]
    broken = replace(
        rule, rule_id="aaa_broken", sql="select error('boom') from links where $since < $until", parameters={}
    )
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    inspector = detector(clock, RuleSet({"aaa_broken": broken, **RULES.rules}))
    tx.execute("begin")
    with pytest.raises(RuleAbortedError, match="boom"):
        inspector.run(tx, watermark=END)
    tx.execute("rollback")
    inspector.run(tx, watermark=END)
    assert len(named(tx)) >= 0.95 * 120
    row = tx.execute("select status, failures, last_error from rule_state where rule_id = 'aaa_broken'").fetchone()
    assert row is not None
    assert row[:2] == ("failed", 1)
    assert "boom" in row[2]


def broken_inspector(clock: ManualClock) -> tuple[Detector, RuleSet]:
    rule = RULES.rules["full_speed_new_account"]
    broken = replace(
        rule, rule_id="aaa_broken", sql="select error('boom') from links where $since < $until", parameters={}
    )
    rules = RuleSet({"aaa_broken": broken, "shared_client": RULES.rules["shared_client"]})
    return detector(clock, rules), rules


def fail(inspector: Detector, tx: Tx) -> None:
    tx.execute("begin")
    with pytest.raises(RuleAbortedError, match="boom"):
        inspector.run(tx, watermark=END)
    tx.execute("rollback")
    inspector.run(tx, watermark=END)


def test_a_rule_that_goes_on_failing_is_switched_off_and_tried_when_it_was_changed() -> None:
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    inspector, rules = broken_inspector(clock)
    for rest_s in (60, 300, 900, 3600):
        fail(inspector, tx)
        assert [trouble.state for trouble in rule_trouble(tx, rules.rules)] == ["failed"]
        clock.advance(rest_s)
    fail(inspector, tx)
    [trouble] = rule_trouble(tx, rules.rules)
    assert (trouble.rule_id, trouble.state, trouble.failures) == ("aaa_broken", "off", OFF_AFTER)
    assert "boom" in trouble.reason
    assert inspector.off.keys() == {"aaa_broken"}
    assert rule_trouble(tx, ["shared_client"]) == []
    clock.advance(OFF_S - 1)
    inspector.run(tx, watermark=END)  # off: not tried
    clock.advance(1)
    fail(inspector, tx)  # once a day
    # After a restart it is tried once, and is off again at once: what the store remembers counts.
    again, _ = broken_inspector(clock)
    fail(again, tx)
    assert again.off.keys() == {"aaa_broken"}
    still = replace(rules.rules["aaa_broken"], sql="select error('boom') from links where $since <> $until")
    again.use(RuleSet({**rules.rules, "aaa_broken": still}))
    assert again.off == {}
    fail(again, tx)
    assert [trouble.failures for trouble in rule_trouble(tx, rules.rules)] == [1]
    again.use(RuleSet({"shared_client": rules.rules["shared_client"]}))
    again.run(tx, watermark=END)
    assert again.off == {}


def test_a_look_that_takes_too_long_is_stopped_where_a_stream_goes_on() -> None:
    endless = replace(
        RULES.rules["full_speed_new_account"],
        sql="select count(*) from range(100000000) a, range(100000000) b where $since < $until",
        parameters={},
    )
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    settings = SETTINGS.model_copy(update={"rules": SETTINGS.rules.model_copy(update={"timeout_s": 0.2})})
    inspector = Detector(settings, RuleSet({endless.rule_id: endless}), clock, Metrics(), paced=True)
    tx.execute("begin")
    with pytest.raises(RuleAbortedError, match=r"longer than 0\.2 s"):
        inspector.run(tx, watermark=END)
    tx.execute("rollback")
    inspector.run(tx, watermark=END)
    [trouble] = rule_trouble(tx, [endless.rule_id])
    assert (trouble.state, "longer than" in trouble.reason) == ("failed", True)


def test_an_alert_opens_once_and_resolves_when_quiet() -> None:
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    inspector = detector(clock)
    assert [kind for kind, _, _ in tell(tx, inspector.run(tx, watermark=END), clock)] == ["alert.opened"]
    clock.advance(60)
    assert tell(tx, inspector.run(tx, watermark=END + timedelta(minutes=1)), clock) == []
    clock.advance(7200)
    late = END + timedelta(hours=2)
    assert [kind for kind, _, _ in tell(tx, inspector.run(tx, watermark=late), clock)] == ["alert.resolved"]
    assert tx.execute("select type from alert_events order by seq").fetchall() == [
        ("alert.opened",),
        ("alert.resolved",),
    ]
    assert tx.execute("select count(*), count(distinct message_id) from outbox").fetchone() == (2, 2)


def test_a_transaction_that_is_rolled_back_and_repeated_gives_the_same_ids() -> None:
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    told = []
    for end in ("rollback", "commit"):
        tx.execute("begin")
        told.append(tell(tx, detector(clock).run(tx, watermark=END), clock))
        tx.execute(end)
        clock.advance(5)
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert tx.execute("select count(*) from outbox").fetchone() == (1,)


def test_a_cleared_account_is_not_named() -> None:
    tx, clock = Tx(), ManualClock(END)
    tx.add(*world())
    tx.execute("update accounts set cleared_reason = 'a known tester' where account_id = 'camp1'")
    detector(clock).run(tx, watermark=END)
    assert "camp1" not in dict(named(tx))
    assert tx.execute("select named from findings where entity_id = 'camp1'").fetchone() == (False,)
