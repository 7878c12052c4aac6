from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.errors import StoreLockedError
from pipeline.fingerprint.schema import DISTRIBUTIONS, LINKS, LOOPS, PANES, Delta
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store, next_offsets

NOW = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
EMPTY = PANES.to_frame(), LINKS.to_frame(), DISTRIBUTIONS.to_frame(), LOOPS.to_frame()
NOTHING = Delta(0, 1, 0, 5, 0, NOW, False, NOW, 0, 0, 0, *EMPTY)


def stepper(store: Store, clock: ManualClock, partitions: int = 2) -> Stepper:
    settings = Settings()
    return Stepper(store, load_rules(settings.rules), settings, clock, Metrics(), partitions)


def test_the_watermark_waits_for_every_partition_and_holds_while_one_is_stalled() -> None:
    clock = ManualClock(NOW)
    with Store.open(None, Settings().store, clock=clock) as store:
        turn = stepper(store, clock)
        turn.step(Intake([NOTHING]))
        assert turn.watermark is None
        turn.step(Intake([replace(NOTHING, partition=1, watermark=NOW - timedelta(seconds=20))]))
        assert turn.watermark == NOW - timedelta(seconds=20)
        clock.advance(40)
        turn.step(Intake())
        assert turn.stalled == (0, 1)
        assert turn.watermark == NOW - timedelta(seconds=20)


def test_a_wall_clock_that_steps_stalls_nothing() -> None:
    clock = ManualClock(NOW)
    with Store.open(None, Settings().store, clock=clock) as store:
        turn = stepper(store, clock, partitions=1)
        turn.step(Intake([NOTHING]))
        clock.step_wall(7200)
        turn.step(Intake())
        assert turn.stalled == ()
        assert turn.watermark == NOW


def test_the_last_window_closes_when_all_is_quiet() -> None:
    clock = ManualClock(NOW)
    with Store.open(None, Settings().store, clock=clock) as store:
        turn = stepper(store, clock, partitions=1)
        turn.step(Intake([NOTHING]))
        turn.step(Intake([replace(NOTHING, from_offset=5, idle=True)]))
        assert turn.watermark == NOW.replace(minute=1, second=0)


def test_facts_that_cannot_be_used_stop_nothing() -> None:
    clock = ManualClock(NOW)
    with Store.open(None, Settings().store, clock=clock) as store:
        turn = stepper(store, clock, partitions=1)
        turn.step(
            Intake(accounts=[{"plan": "no account"}, {"account_id": "a", "plan": "pro"}], offsets={("t", 0): 2}),
            (),
            "e",
        )
        assert store.connection.execute("select account_id, plan from accounts").fetchall() == [("a", "pro")]
        assert next_offsets(store.connection, "t") == {0: 2}


def test_a_hole_is_counted_and_the_rest_is_applied() -> None:
    clock = ManualClock(NOW)
    with Store.open(None, Settings().store, clock=clock) as store:
        turn = stepper(store, clock, partitions=1)
        turn.step(Intake([NOTHING]))
        applied = turn.step(Intake([replace(NOTHING, from_offset=9, to_offset=12)]))
        assert [(hole.expected, hole.found) for hole in applied.holes] == [(5, 9)]
        assert turn.metrics.value("serve_holes") == 1


def test_a_second_serve_on_the_same_store_is_refused(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    with Store.open(tmp_path / "s", Settings().store, clock=clock), pytest.raises(StoreLockedError):
        Store.open(tmp_path / "s", Settings().store, clock=clock)
