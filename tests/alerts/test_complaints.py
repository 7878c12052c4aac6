"""What users of such systems complain of most, each by its name. Each is tested further where it is said below."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.delivery.bodies import read_native
from pipeline.delivery.outbox import due
from pipeline.events.schema import EVENTS
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from pipeline.rules.load import load_rules
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store
from tests.alerts.killed import delta, settings_of
from tests.alerts.made import Day
from tests.alerts.test_killed import test_killed_anywhere_nothing_is_lost_and_nothing_told_twice as killed_anywhere
from tests.alerts.test_killed import undisturbed  # noqa: F401 - a fixture
from tests.detect.world import START, world

END = START + timedelta(minutes=12)
URL = "http://127.0.0.1:9/"


class Writer:
    """The writer of serve over a store in memory, with the events of a small world."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        settings = settings_of(Path("none"), URL)
        self.store, self.clock, self._number = store, clock, 0
        self._stepper = Stepper(store, load_rules(settings.rules), settings, clock, Metrics(), partitions=1)
        _, facts = world()
        known = [{key: value for key, value in fact.items() if value is not None} for fact in facts]
        self._stepper.step(Intake(accounts=known))

    def take(self, events: pl.DataFrame, watermark: datetime, *, idle: bool = False) -> list[str]:
        """Take events in; what is to be told then, as types."""
        self.clock.advance(max(60.0, (watermark - self.clock.wall).total_seconds()))
        made = replace(delta(self._number, events, watermark), idle=idle)
        self._number += 1
        self._stepper.step(Intake([made]))
        return [read_native(message.body).type for message in due(self.store.connection, self.clock.now())]


@pytest.fixture
def writer() -> Iterator[Writer]:
    clock = ManualClock(START)
    with Store.open(None, settings_of(Path("none"), URL).store, clock=clock) as store:
        yield Writer(store, clock)


def test_complaint_1_alerts_are_lost_around_restarts(tmp_path: Path, undisturbed: Any) -> None:  # noqa: F811
    """Killed when the alert was committed and not sent. Every other moment: tests/alerts/test_killed.py."""
    killed_anywhere(tmp_path, undisturbed, "serve.committed:1", 0)


def test_complaint_2_the_same_alert_comes_twice(tmp_path: Path, undisturbed: Any) -> None:  # noqa: F811
    """Killed when it was sent and not marked: it comes again under the same id, to the letter."""
    killed_anywhere(tmp_path, undisturbed, "serve.sent:1", 1)


def test_complaint_3_there_is_no_message_when_it_is_over() -> None:
    """Also where the alert was silenced meanwhile, and where a person ended it: tests/alerts/test_states.py."""
    day = Day()
    day.campaign(5)
    day.look()
    day.silence("rule=*", hours=24)
    day.advance(hours=2)
    day.look()
    assert day.told() == ["alert.opened", "alert.resolved"]


def test_complaint_4_quiet_streams_never_fire(writer: Writer) -> None:
    """The window in which it happened closes though nothing comes after it: nobody waits for the next event."""
    events, _ = world()
    last = events["timestamp"].max()
    assert isinstance(last, datetime)
    assert writer.take(events, last - timedelta(minutes=11)) == []
    writer.clock.advance(1800)
    assert writer.take(EVENTS.to_frame(), last, idle=True) == ["alert.opened"]


def test_complaint_5_late_data_is_ignored(writer: Writer) -> None:
    """All of a campaign comes three hours after its window had closed."""
    events, _ = world()
    of_it = pl.col("account_id").str.starts_with("camp")
    assert writer.take(events.filter(~of_it), END + timedelta(hours=3)) == []
    assert writer.take(events.filter(of_it), END + timedelta(hours=3, minutes=1)) == ["alert.opened"]


def test_complaint_6_nobody_can_test_the_rules(tmp_path: Path) -> None:
    """Each rule has cases that fire and look-alikes that must not. One whose case fails is told, with exit code 1."""
    rule_id = "full_speed_new_account"
    for suffix, changed in ((".sql", None), (".yml", ("{accounts: 1,", "{accounts: 2,"))):
        text = (sql_dir("rules") / f"{rule_id}{suffix}").read_text()
        (tmp_path / f"mine{suffix}").write_text(text if changed is None else text.replace(*changed))
    command = [sys.executable, "-m", "pipeline.cli", "rules", "test"]
    told = [
        subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=120)
        for more in ([rule_id], ["--directory", str(tmp_path)])
    ]
    assert [one.returncode for one in told] == [0, 1], [one.stderr for one in told]
    assert "1 accounts, expected 2" in told[1].stdout
