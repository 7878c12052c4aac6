"""A small week's twin: one planted campaign among benign accounts, analyzed for real, once for all tests here."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.analyze import analyze
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.metrics import Metrics
from pipeline.simulate import plan

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
AFTER = START + timedelta(hours=1)
HOSTILE = "<img src=x onerror=alert(1)>'\";drop table finding;--\x1b[31m\u202e{{7*7}}"


def lone_event(account: str) -> bytes:
    """One request of an account that does nothing else."""
    event = {
        "event_id": f"lone-{account}",
        "timestamp": "2026-01-05T12:03:00Z",
        "account_id": account,
        "model": "large-3",
        "user_agent": "curl/8",
        "latency_ms": 800,
        "output_tokens": 20,
    }
    return json.dumps(event).encode()


@pytest.fixture(scope="session")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, frozenset[str]]:
    """A store, and the planted accounts. Not to be written: ``store`` gives a copy."""
    directory = tmp_path_factory.mktemp("explain")
    simulation = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80)
    messages = [message for chunk in simulation.chunks(10_000) for message in chunk.messages()]
    file = directory / "traffic.ndjson"
    file.write_bytes(b"\n".join([*messages, lone_event("lone"), lone_event(HOSTILE)]) + b"\n")
    analyze(
        [file],
        directory / "s.duckdb",
        Settings(),
        clock=ManualClock(AFTER),
        metrics=Metrics(),
        accounts=simulation.accounts.to_dicts(),
    )
    return directory / "s.duckdb", frozenset(simulation.truth.planted)


@pytest.fixture
def store(analyzed: tuple[Path, frozenset[str]], tmp_path: Path) -> Path:
    """A copy of the analyzed store, to do with as a test likes."""
    return Path(shutil.copy(analyzed[0], tmp_path / "s.duckdb"))
