import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from pipeline.clock import ManualClock
from pipeline.errors import StillwatchError
from pipeline.faults import FAULT_POINTS
from pipeline.metrics import DEFINITIONS, Metrics
from pipeline.resources import sql_dir


def run(code: str, fault: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "STILLWATCH_FAULT": fault}
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_fault_point_kills_at_the_named_time(point: str) -> None:
    code = f"from pipeline.faults import hit\nfor i in range(5):\n    hit({point!r})\n    print(i, flush=True)"
    ended = run(code, f"{point}:3")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["0", "1"]


def test_a_misspelt_fault_point_is_refused() -> None:
    assert "no such fault point" in run("import pipeline.faults", "ingest.nowhere").stderr


def test_stepping_the_wall_clock_leaves_monotonic_time_alone() -> None:
    clock = ManualClock()
    start = clock.now()
    clock.step_wall(-3600)
    assert clock.monotonic() == 0
    clock.advance(5)
    assert clock.monotonic() == 5
    assert clock.now() == start - timedelta(seconds=3595)


def test_every_metric_can_be_touched_and_read() -> None:
    metrics = Metrics()
    metrics.count("ingest_events", 3, format="otel")
    metrics.set("store_bytes", 7)
    metrics.observe("rules_seconds", 0.1, rule="r")
    assert metrics.value("ingest_events", format="otel") == 3
    assert metrics.value("store_bytes") == 7
    assert all(item.help for item in DEFINITIONS.values())


def test_an_error_says_the_next_step() -> None:
    assert str(StillwatchError("it broke", next_step="mend it")) == "it broke → mend it"


@pytest.mark.parametrize("room", ["schema", "views", "queries", "rules", "kept"])
def test_sql_rooms_are_there(room: str) -> None:
    assert list(sql_dir(room).glob("*.sql"))  # type: ignore[arg-type]
