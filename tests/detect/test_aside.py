"""Looks beside the writer: the same in the end, and the writer never waits."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.corpora import known_set
from pipeline.detect.aside import GATHER_S, GATHER_TIMES, NICER, Aside
from pipeline.detect.trouble import rule_trouble
from pipeline.errors import StoreError
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.schema import Delta
from pipeline.metrics import Metrics
from pipeline.rules import RuleAbortedError, RuleSet, load_rules
from pipeline.rules.run import evaluate
from pipeline.serve.corpora import AddCorpus, RemoveCorpus
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store
from tests.detect.world import MINUTES, START, world

SETTINGS = Settings()
SHIPPED = load_rules(SETTINGS.rules)
RULES = RuleSet({name: SHIPPED.rules[name] for name in ("closed_loop_pool", "shared_client", "shared_prompt")})
ENDLESS = replace(
    SHIPPED.rules["full_speed_new_account"],
    sql="select count(*) from range(1000000000000) as told (i) where hash(i) = 0 and $since < $until",
    parameters={},
)
WRONG = replace(SHIPPED.rules["shared_client"], sql="select 1 as one where $since < $until", parameters={})
EVENTS, FACTS = world()
LATE = pl.col("account_id").str.starts_with("camp")


class Stream:
    """Deltas of one partition as a worker would send them."""

    def __init__(self) -> None:
        self.clock = ManualClock(START + timedelta(minutes=MINUTES))
        self._state = PartitionState(0, 0, SETTINGS.worker, self.clock)

    def delta(self, events: pl.DataFrame) -> Delta:
        self._state.add(self._state.next_offset, events)
        found = self._state.emit(generation=0, committed=0, at_end=False)
        assert found is not None
        return found

    def last(self) -> Delta:
        return self._state.close(generation=0, committed=0)


@pytest.fixture(autouse=True)
def never_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still here, so every look would be known to be quick."""
    monkeypatch.setattr("pipeline.detect.detector.ASIDE_S", 0.0)


@contextmanager
def serving(
    clock: ManualClock,
    rules: RuleSet = RULES,
    *,
    aside: bool = True,
    path: Path | None = None,
    settings: Settings = SETTINGS,
) -> Iterator[Stepper]:
    with Store.open(path, settings.store, clock=clock) as store:
        stepper = Stepper(store, rules, settings, clock, Metrics(), 1, paced=True, aside=aside)
        stepper.step(Intake(accounts=FACTS))
        try:
            yield stepper
        finally:
            stepper.close()


def looks(stepper: Stepper) -> Aside:
    found = stepper._detector.aside
    assert found is not None
    return found


def advance(stepper: Stepper, seconds: float) -> None:
    assert isinstance(stepper.clock, ManualClock)
    stepper.clock.advance(seconds)


def settle(stepper: Stepper) -> None:
    """Steps until no look is due or on its way."""
    for _ in range(10):
        stepper.step(Intake())
        looks(stepper).wait()
        advance(stepper, 20)  # late data is looked at every fifteen seconds
    assert looks(stepper).pending == stepper.looks_pending == 0


def found(stepper: Stepper) -> dict[str, list[tuple[object, ...]]]:
    execute = stepper.store.connection.execute
    return {
        "signals": execute("select * exclude (reason, group_reason) from signals order by all").fetchall(),
        "findings": execute("select entity_id, round(score, 9), named from findings order by all").fetchall(),
        "members": execute("select account_id from campaign_members order by all").fetchall(),
        "alerts": execute("select rule_id, group_key, state from alerts order by all").fetchall(),
    }


def parts() -> list[pl.DataFrame]:
    return [
        part
        for _, part in EVENTS.with_columns(pl.col("timestamp").dt.truncate("3m").alias("part")).group_by(
            "part", maintain_order=True
        )
    ]


@pytest.fixture(scope="module")
def whole() -> dict[str, list[tuple[object, ...]]]:
    """What is found where the transaction waits for each look."""
    stream = Stream()
    with serving(stream.clock, aside=False) as stepper:
        for part in parts():
            stepper.step(Intake([stream.delta(part.drop("part"))]))
        stepper.step(Intake([stream.last()]))
        assert len(found(stepper)["members"]) == 120
        return found(stepper)


@pytest.mark.parametrize("waits", [True, False])
def test_the_end_is_that_of_looks_in_the_transaction(whole: object, waits: bool) -> None:
    stream = Stream()
    with serving(stream.clock) as stepper:
        for part in parts():
            stepper.step(Intake([stream.delta(part.drop("part"))]))
            if waits:
                looks(stepper).wait()
        stepper.step(Intake([stream.last()]))
        settle(stepper)
        assert found(stepper) == whole


def test_late_data_that_comes_while_a_look_is_on_its_way_is_looked_at_again(
    whole: dict[str, list[tuple[object, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, stored = threading.Event(), threading.Event()

    def slow(*asked: Any, **limits: Any) -> pl.DataFrame:
        frame = evaluate(*asked, **limits)
        read.set()
        assert stored.wait(60)
        return frame

    monkeypatch.setattr("pipeline.detect.aside.evaluate", slow)
    stream, rule = Stream(), RULES.rules["shared_prompt"]
    with serving(stream.clock, RuleSet({rule.rule_id: rule})) as stepper:
        stepper.step(Intake([stream.delta(EVENTS.filter(~LATE))]))
        assert read.wait(60)
        # The campaign comes behind the watermark, when the look has read and has not told yet.
        stepper.step(Intake([stream.delta(EVENTS.filter(LATE))]))
        stored.set()
        looks(stepper).wait()
        stepper.step(Intake())
        assert found(stepper)["signals"] == []
        advance(stepper, 20)
        settle(stepper)
        assert found(stepper)["signals"] == [row for row in whole["signals"] if rule.rule_id in row]


def test_the_writer_does_not_wait(tmp_path: Path) -> None:
    stream = Stream()
    rules = RuleSet({**RULES.rules, ENDLESS.rule_id: ENDLESS})
    with serving(stream.clock, rules, path=tmp_path / "s") as stepper:
        stepper.step(Intake([stream.delta(EVENTS.filter(~LATE))]))
        assert ENDLESS.rule_id in looks(stepper)
        applied = stepper.step(Intake([stream.delta(EVENTS.filter(LATE))]))
        [(events,)] = stepper.store.connection.execute("select sum(events) from accounts").fetchall()
        assert (applied.applied, events) == (1, EVENTS.height)
        begun = time.monotonic()
    assert time.monotonic() - begun < 10  # what is on its way is ended, not waited for


@pytest.mark.parametrize(("storing_s", "waits_s"), [(0.0, GATHER_S), (2.0, 2.0 * GATHER_TIMES)])
def test_what_ends_soon_after_another_look_is_stored_with_it_and_what_takes_long_is_not_waited_for(
    storing_s: float, waits_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    let = {rule_id: threading.Event() for rule_id in RULES.rules}

    def held(cursor: Any, rule: Any, *asked: Any, **limits: Any) -> pl.DataFrame:
        assert let[rule.rule_id].wait(60)
        return evaluate(cursor, rule, *asked, **limits)

    monkeypatch.setattr("pipeline.detect.aside.evaluate", held)
    stream = Stream()
    with serving(stream.clock) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper)._storing_s = storing_s
        first, second, third = looks(stepper)._begun

        def end(rule_id: str) -> None:
            let[rule_id].set()
            looks(stepper)._begun[rule_id][1].result(60)

        end(first)
        stepper.step(Intake())
        advance(stepper, waits_s - 0.5)
        stepper.step(Intake())
        assert stepper.looks_pending == 3
        advance(stepper, 0.5)
        stepper.step(Intake())
        assert stepper.looks_pending == 2
        end(second)
        stepper.step(Intake())
        assert stepper.looks_pending == 2
        end(third)
        stepper.step(Intake())
        assert stepper.looks_pending == 0
        assert len(found(stepper)["members"]) == 120


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a niceness of threads")
def test_looks_step_back_behind_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(*given: Any, **limits: Any) -> pl.DataFrame:
        asked.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return evaluate(*given, **limits)

    monkeypatch.setattr("pipeline.detect.aside.evaluate", noted)
    stream, own = Stream(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with serving(stream.clock) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
    assert asked == [min(19, own + NICER)] * len(RULES.rules)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_of_looks_that_are_asked_for_together_the_quick_ones_are_first(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def noted(cursor: Any, rule: Any, *given: Any, **limits: Any) -> pl.DataFrame:
        begun.append(rule.rule_id)
        return evaluate(cursor, rule, *given, **limits)

    monkeypatch.setattr("pipeline.detect.aside.evaluate", noted)
    took = {"closed_loop_pool": 3.0, "shared_client": 2.0, "shared_prompt": 0.5}
    monkeypatch.setattr("pipeline.detect.rests.Rests.look_s", lambda _, rule_id: took[rule_id])
    stream = Stream()
    with serving(stream.clock) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
    assert begun == ["shared_prompt", "shared_client", "closed_loop_pool"]


def test_a_look_that_fails_makes_its_rule_rest_and_no_transaction_run_again() -> None:
    stream = Stream()
    settings = SETTINGS.model_copy(update={"rules": SETTINGS.rules.model_copy(update={"timeout_s": 2.0})})
    rules = RuleSet({**RULES.rules, ENDLESS.rule_id: ENDLESS, "shared_client": WRONG})
    with serving(stream.clock, rules, settings=settings) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        for _ in range(3):
            stepper.step(Intake())
        trouble = {
            one.rule_id: (one.state, one.reason) for one in rule_trouble(stepper.store.connection, list(rules.rules))
        }
        assert trouble.keys() == {ENDLESS.rule_id, "shared_client"}
        assert {state for state, _ in trouble.values()} == {"failed"}
        assert "longer than 2 s" in trouble[ENDLESS.rule_id][1]
        assert stepper.metrics.value("rules_failed", rule="shared_client") == 1
        assert len(found(stepper)["members"]) == 120


def test_what_was_found_is_stored_once_the_disk_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, failing = Stream(), replace(WRONG, rule_id="failing")
    with serving(stream.clock, RuleSet({**RULES.rules, "failing": failing})) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        with monkeypatch.context() as full:
            full.setattr(stepper.store, "_commit", lambda: (_ for _ in ()).throw(StoreError("full", next_step="room")))
            with pytest.raises(StoreError):
                stepper.step(Intake())
            stepper.store.connection.execute("rollback")
        assert found(stepper)["signals"] == []
        stepper.step(Intake())
        assert len(found(stepper)["members"]) == 120
        [trouble] = rule_trouble(stepper.store.connection, ["failing"])
        assert trouble.failures == 1


def test_what_a_rule_found_before_it_was_changed_does_not_count() -> None:
    stream = Stream()
    with serving(stream.clock) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        rule = RULES.rules["shared_prompt"]
        quiet = replace(rule, sql=f"select * from ({rule.sql}) as before where false")
        stepper.use(RuleSet({**RULES.rules, rule.rule_id: quiet}))
        settle(stepper)
        assert {row[0] for row in stepper.store.connection.execute("select rule_id from signals").fetchall()} == {
            "closed_loop_pool",
            "shared_client",
        }


def test_what_a_rule_found_before_it_was_switched_off_does_not_count() -> None:
    stream = Stream()
    with serving(stream.clock) as stepper:
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        stepper.use(RuleSet({name: rule for name, rule in RULES.rules.items() if name != "shared_prompt"}))
        settle(stepper)
        assert {row[0] for row in stepper.store.connection.execute("select rule_id from signals").fetchall()} == {
            "closed_loop_pool",
            "shared_client",
        }


def test_what_was_read_of_a_known_set_that_is_removed_does_not_come_back() -> None:
    stream = Stream()
    with serving(stream.clock) as stepper:
        stepper.step(
            Intake(
                corpora=[
                    AddCorpus(
                        known_set(
                            "mine", [(1, "Which of the three rivers that cross the old town floods first after rain?")]
                        ),
                        replace=False,
                    )
                ]
            )
        )
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        stepper.step(Intake(corpora=[RemoveCorpus("mine")]))
        assert found(stepper)["signals"] == []  # read before; they are read again
        settle(stepper)
        assert len(found(stepper)["members"]) == 120


def test_a_look_that_the_writer_sent_away_is_no_failure_of_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, rule = Stream(), RULES.rules["shared_prompt"]
    with serving(stream.clock, RuleSet({rule.rule_id: rule})) as stepper:
        readers, sent = stepper.store.readers, list[bool]()

        def interrupted(cursor: duckdb.DuckDBPyConnection, *asked: Any, **limits: Any) -> pl.DataFrame:
            if sent:
                return evaluate(cursor, *asked, **limits)
            readers.send_away()
            sent.append(readers.was_sent_away(cursor))
            raise RuleAbortedError(rule.rule_id, "Interrupted!")

        monkeypatch.setattr("pipeline.detect.aside.evaluate", interrupted)
        stepper.step(Intake([stream.delta(EVENTS), stream.last()]))
        looks(stepper).wait()
        stepper.step(Intake())
        assert sent == [True]
        assert rule_trouble(stepper.store.connection, [rule.rule_id]) == []
        # It is asked for again, and told that there is no room yet, until there is.
        stepper.step(Intake())
        looks(stepper).wait()
        stepper.step(Intake())
        assert found(stepper)["signals"] == []
        advance(stepper, 60)
        settle(stepper)
        assert found(stepper)["signals"]
