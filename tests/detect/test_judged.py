"""When accounts are judged: once a pass, for what it found; and for facts, whatever rules find."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.detect import Detector
from pipeline.rules import RuleSet
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
        monkeypatch.setattr(Detector, "_held_up_by", lambda _, rule: rule.rule_id == quick.rule_id)
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
