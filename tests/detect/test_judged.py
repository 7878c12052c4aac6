"""When accounts are judged: once a pass, for what it found; and for facts, whatever rules find."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.detect import Detector
from pipeline.detect.aside import GATHER_S
from pipeline.errors import StoreError
from pipeline.rules import RuleSet
from pipeline.rules.run import evaluate
from pipeline.serve.intake import Intake
from tests.detect.test_aside import EVENTS, RULES, SHIPPED, Stream, advance, looks, serving, settle
from tests.detect.world import START


def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many accounts it was heard, each time that there was judgement."""
    times: list[int] = []
    judge = Detector._judge

    def counted(self: Detector, tx: Any, accounts: Any, *asked: Any, **named: Any) -> Any:
        times.append(len(accounts))
        return judge(self, tx, accounts, *asked, **named)

    monkeypatch.setattr(Detector, "_judge", counted)
    return times


def later(account_id: str, minutes: int) -> pl.DataFrame:
    """One more request, of an account that nobody knew."""
    moment = START + timedelta(minutes=minutes)
    return EVENTS.tail(1).with_columns(
        event_id=pl.lit(f"later-{minutes}"),
        account_id=pl.lit(account_id),
        timestamp=pl.lit(moment, dtype=EVENTS.schema["timestamp"]),
        template_hash=pl.lit(None, dtype=EVENTS.schema["template_hash"]),
        client=pl.lit("other/1"),
    )


def test_a_pass_that_finds_nothing_new_is_judged_once_when_its_last_look_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = SHIPPED.rules["banned_still_served"]
    rules = RuleSet({quick.rule_id: quick, "shared_client": RULES.rules["shared_client"]})
    stream = Stream()
    with serving(stream.clock, rules) as stepper:
        stepper.step(Intake([stream.delta(EVENTS)]))
        settle(stepper)
        monkeypatch.setattr(Detector, "_held_up_by", lambda _, rule, _spent_s: rule.rule_id == quick.rule_id)
        times = judged(monkeypatch)
        advance(stepper, 3600)
        stepper.step(Intake([stream.delta(later("newcomer", 200))]))
        assert looks(stepper).pending == 1
        assert times == []
        looks(stepper).wait()
        stepper.step(Intake())
        stepper.step(Intake())
        assert len(times) == 1


def test_facts_are_heard_though_no_signal_changes() -> None:
    steady = replace(
        RULES.rules["shared_client"],
        sql="select 'account' as dimension, source_id as entity_id, source_id as account_id, "
        "'client:' || target_id as group_key, 0.4 as strength, 'because' as reason, "
        "min(first_seen) as first_seen, max(last_seen) as last_seen from link_rows($since, $until) "
        "where target_kind = 'client' group by source_id, target_id",
        parameters={},
    )
    stream = Stream()
    with serving(stream.clock, RuleSet({steady.rule_id: steady})) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        settle(stepper)
        execute = stepper.store.connection.execute
        account = str(execute("select min(entity_id) from findings where dimension = 'account'").fetchall()[0][0])

        def population() -> str:
            [(found,)] = execute("select population from findings where entity_id = ?", [account]).fetchall()
            return str(found)

        assert population() == "hashes/young"
        stepper.step(
            Intake(accounts=[{"account_id": account, "created_at": (START - timedelta(days=400)).isoformat()}])
        )
        settle(stepper)
        assert population() == "hashes/any"


def test_facts_about_accounts_of_which_nothing_was_found_have_nobody_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    with serving(stream.clock, RuleSet({})) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        times = judged(monkeypatch)
        for number in range(3):
            stepper.step(Intake(accounts=[{"account_id": f"signed-up-{number}", "created_at": START.isoformat()}]))
        assert times == []


def test_what_a_rolled_back_transaction_stored_is_stored_by_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    let = threading.Event()

    def held(cursor: Any, rule: Any, *asked: Any, **limits: Any) -> pl.DataFrame:
        assert rule.rule_id != "shared_prompt" or let.wait(60)
        return evaluate(cursor, rule, *asked, **limits)

    monkeypatch.setattr("pipeline.detect.aside.evaluate", held)
    stream = Stream()
    rules = RuleSet({name: RULES.rules[name] for name in ("shared_client", "shared_prompt")})
    with serving(stream.clock, rules) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper)._begun["shared_client"][1].result(60)
        advance(stepper, GATHER_S)
        with monkeypatch.context() as full:
            full.setattr(stepper.store, "_commit", lambda: (_ for _ in ()).throw(StoreError("full", next_step="room")))
            with pytest.raises(StoreError):
                stepper.step(Intake())
            stepper.store.connection.execute("rollback")
        looks(stepper)._storing_s = 60.0  # so long did it take; both wait for each other now
        stepper.step(Intake())
        assert stepper.looks_pending == 2
        let.set()
        settle(stepper)
        found = stepper.store.connection.execute("select distinct rule_id from signals order by all").fetchall()
        assert found == [("shared_client",), ("shared_prompt",)]


def test_quick_looks_that_add_up_do_not_hold_the_transaction_up(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("shared_client", "shared_prompt", "asks_for_reasoning", "many_networks")
    stream, looked = Stream(), list[str]()

    def quick(tx: Any, rule: Any, *asked: Any, **limits: Any) -> pl.DataFrame:
        looked.append(rule.rule_id)
        stream.clock.advance(0.2)
        return evaluate(tx, rule, *asked, **limits)

    with serving(stream.clock, RuleSet({name: SHIPPED.rules[name] for name in names})) as stepper:
        stepper.step(Intake([stream.delta(EVENTS)]))
        settle(stepper)
        stepper._detector._rests._look_s |= dict.fromkeys(names, 0.2)
        monkeypatch.setattr("pipeline.detect.detector.evaluate", quick)
        advance(stepper, 3600)
        stepper.step(Intake([stream.delta(later("newcomer", 200))]))
        assert len(looked) == 2  # a third would have ended after 0.6 s
        assert looks(stepper).pending == 2
