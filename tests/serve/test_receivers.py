"""Receivers are known before anything is applied, and change while serve runs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Watched
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.loop import HEALTH_EVERY_S, _Loop
from pipeline.serve.state import ServeState
from pipeline.serve.step import Stepper
from pipeline.store import Store
from tests.serve.test_loop import Finished, QuietConsumer

TEAM = '[endpoints.team]\nurl = "https://hooks.example/x"\nformat = "slack"\n'


class Noted(Stepper):
    """Notes whom an alert of each step would have been written for."""

    known: list[list[str]]

    def step(self, intake: Any, outcomes: Any = (), epoch: str = "") -> Any:
        self.known = [*getattr(self, "known", []), sorted(self.endpoints.by_name)]
        return super().step(intake, outcomes, epoch)


class Taken(Finished):
    """Delivery that is told whom to send to."""

    def use(self, endpoints: object) -> None:
        """Nobody."""


def loop(store: Store, settings: Settings, clock: ManualClock) -> tuple[_Loop, Noted]:
    stepper = Noted(store, load_rules(settings.rules), settings, clock, Metrics(), 1)
    made = _Loop(
        settings=settings,
        clock=clock,
        metrics=Metrics(),
        store=store,
        stepper=stepper,
        consumer=cast("Any", QuietConsumer()),
        delivery=cast("Any", Taken()),
        endpoints=Watched(settings, Reach.of([])),
        state=ServeState(store, settings, clock),
        epoch="e",
        stop=threading.Event(),
    )
    return made, stepper


def test_an_alert_of_the_first_turn_is_written_for_the_receivers_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text(TEAM)
    settings, clock = Settings.model_validate({"webhook": {"endpoints": file}}), ManualClock(datetime.now(UTC))
    with Store.open(None, settings.store, clock=clock) as store:
        running, stepper = loop(store, settings, clock)
        running.turn()
        file.write_text(TEAM + TEAM.replace("team", "other"))
        clock.advance(HEALTH_EVERY_S)
        running.turn()
        assert running.state.health().warnings == ()
        file.write_text("[endpoints")  # what was read last stays
        clock.advance(HEALTH_EVERY_S)
        running.turn()
        [warning] = running.state.health().warnings
        assert "endpoints.toml: no TOML" in warning
        assert list(stepper.broken) == ["receivers"]  # what rules about the pipeline are asked with
        assert running.metrics.value("endpoints_broken") == 1
        file.write_text(TEAM + TEAM.replace("team", "other"))
        clock.advance(HEALTH_EVERY_S)
        running.turn()
        assert running.state.health().warnings == ()
        assert running.metrics.value("endpoints_broken") == 0
    assert stepper.known == [["team"], ["other", "team"], ["other", "team"], ["other", "team"]]


def test_a_file_that_is_broken_at_the_start_is_no_start(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text("[endpoints")
    settings, clock = Settings.model_validate({"webhook": {"endpoints": file}}), ManualClock(datetime.now(UTC))
    with Store.open(None, settings.store, clock=clock) as store:
        running, stepper = loop(store, settings, clock)
        with pytest.raises(ConfigError, match="no TOML"):
            running.turn()
    assert not hasattr(stepper, "known")
