"""A serving loop uses rules that changed from its next turn on; what is wrong with files is a warning."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.clock import ManualClock
from pipeline.config import RuleSettings, Settings
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.rules.load import usable_rules
from pipeline.rules.watch import LOOK_EVERY_S, RuleWatch
from pipeline.serve.loop import _Loop, run_serve
from pipeline.serve.state import ServeState
from pipeline.serve.step import Stepper
from pipeline.store import Store
from tests.rules.test_load import write
from tests.serve.test_loop import Finished, QuietConsumer, Unchanged

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_rules_that_change_are_used_from_the_next_turn_on_and_problems_are_warnings(tmp_path: Path) -> None:
    directory = write(tmp_path / "mine")
    rule_settings = RuleSettings(directory=directory)
    settings, clock, metrics = Settings(rules=rule_settings), ManualClock(NOW), Metrics()
    found = usable_rules(rule_settings)
    rules = found.active()
    with Store.open(None, settings.store, clock=clock) as store:
        stepper = Stepper(store, rules, settings, clock, metrics, 1)
        state = ServeState(store, settings, clock, rules)
        loop = _Loop(
            settings=settings,
            clock=clock,
            metrics=metrics,
            store=store,
            stepper=stepper,
            consumer=cast("Any", QuietConsumer()),
            delivery=cast("Any", Finished()),
            endpoints=cast("Any", Unchanged()),
            state=state,
            epoch="e",
            stop=threading.Event(),
            watch=RuleWatch(rule_settings, found, clock, metrics),
        )

        def turns() -> None:
            for _ in range(3):
                clock.advance(LOOK_EVERY_S)
                loop.turn()

        write(directory, "second")
        turns()
        assert "second" in stepper.rules.rules
        assert "second" in state.rules.rules
        assert state.health().warnings == ()
        (directory / "second.sql").write_text("select 1")
        turns()
        assert list(stepper.broken) == ["rule:second"]  # what rules about the pipeline are asked with
        assert "second" in stepper.rules.rules
        assert "second.sql" in state.health().warnings[0]
        assert not any("second" in reason for reason in state.health().reasons)


def test_a_directory_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    settings = Settings(rules=RuleSettings(directory=tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"rules\.directory: .*/none: no such directory"):
        run_serve(settings, clock=ManualClock(NOW), metrics=Metrics(), stop=threading.Event())
