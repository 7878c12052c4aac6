"""`stillwatch bench` over a broker: what it finds, what it takes along, what it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient
from pydantic import SecretStr

from pipeline.bench.measure import _running, environment, own_settings
from pipeline.bench.steady import BenchError, steady, whole
from pipeline.cli import run
from pipeline.config import KafkaSettings
from tests.kafka.server import KafkaServer

NOT_YET = "measure first: stillwatch bench"


@pytest.mark.kafka
def test_a_machine_is_measured_and_a_load_planned(
    kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Of the settings here nothing is taken but the broker: this receiver would be told, and this store written to.
    (tmp_path / "stillwatch.toml").write_text(
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\n[store]\npath = "mine.duckdb"\n'
        '[webhook]\nurl = "https://hooks.example/x"\n'
    )
    monkeypatch.setenv("STILLWATCH_WEBHOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert run(["bench", "--events", "200000", "--accounts", "2000"], debug=False) == 0
    assert "ingest" in capsys.readouterr().out
    found = json.loads((tmp_path / "stillwatch-bench.json").read_text())
    assert found["events"] == 200_000
    # A row an account and minute: no more than events, and no fewer than accounts that sent anything.
    assert 2_000 <= found["account_minutes"] <= 200_000
    for name in ("ingest", "worker", "serve"):
        assert found["stages"][name]["cpu_s_per_million"] > 0
    assert not (tmp_path / "mine.duckdb").exists()
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    assert not [name for name in admin.list_topics() if name.startswith("stillwatch.bench.")]
    admin.close()
    assert run(["bench", "plan", "--events-per-second", "5000", "--accounts", "50000", "--json"], debug=False) == 0
    [needs] = json.loads(capsys.readouterr().out)
    assert needs["ingests"] == 1
    words = ["bench", "plan", "--events-per-second", "5000", "--accounts", "50000", "--core-month", "20"]
    assert run(words, debug=False) == 0
    told = capsys.readouterr().out
    assert "partitions    4" in told
    assert "money" in told


def test_a_plan_needs_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["bench", "plan", "--events-per-second", "1", "--accounts", "1"]
    assert run(words, debug=False) == 66
    assert NOT_YET in capsys.readouterr().err
    (tmp_path / "stillwatch-bench.json").write_text('{"day": 1}')
    assert run(words, debug=False) == 64
    assert "stillwatch-bench.json" in capsys.readouterr().err


def test_stages_are_told_how_the_broker_is_reached_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLWATCH_WEBHOOK__URL", "https://hooks.example/x")
    monkeypatch.setenv("STILLWATCH_RULES__DIRECTORY", "mine")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "elsewhere:9092")
    kafka = KafkaSettings(
        bootstrap="here:9092",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password=SecretStr("hidden"),
    )
    told = environment(own_settings(kafka, tmp_path))
    assert told["STILLWATCH_KAFKA__BOOTSTRAP"] == "here:9092"
    assert told["STILLWATCH_KAFKA__SASL_PASSWORD"] == "hidden"
    assert told["STILLWATCH_STORE__PATH"] == str(tmp_path / "bench.duckdb")
    assert told["STILLWATCH_TOPICS__REQUESTS"].startswith("stillwatch.bench.")
    assert not {"STILLWATCH_WEBHOOK__URL", "STILLWATCH_RULES__DIRECTORY", "KAFKA_BOOTSTRAP"} & set(told)
    assert told["PATH"] == os.environ["PATH"]


def test_a_stage_that_ends_is_told_of_at_once(tmp_path: Path) -> None:
    # Settings that it cannot use: it says so and ends, and nobody has asked for its exit code.
    environ = {**os.environ, "STILLWATCH_STORE__THREADS": "none"}
    with (
        pytest.raises(BenchError, match=r"ingest ended; it said: .*threads"),
        _running("ingest", environ, tmp_path) as one,
    ):
        steady("ingest", [one], 10, lambda: 0.0)
    with (
        pytest.raises(BenchError, match=r"serve ended; it said: .*threads"),
        _running("serve", environ, tmp_path) as one,
    ):
        whole("serve", one, 10, lambda: 0.0)


def test_too_little_work_is_not_measured() -> None:
    shares = iter([0.0, 1.0])
    with pytest.raises(BenchError, match="in one step"):
        steady("it", [psutil.Process()], 10, lambda: next(shares))


def test_the_last_offsets_may_be_markers_that_nobody_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bench.steady.QUIET_S", 0.0)
    shares = iter([0.0, 0.2, 0.7, 0.7, 0.7])
    assert steady("it", [psutil.Process()], 1_000_000, lambda: next(shares)).events_per_s > 0


def test_what_is_before_and_after_is_not_counted() -> None:
    shares = iter([0.0, 0.2, 0.5, 0.9])
    found = steady("it", [psutil.Process()], 1_000_000, lambda: next(shares))
    assert found.events_per_s > 0
    assert next(shares, None) is None
    assert found.peak_mb > 1


def test_the_whole_is_watched_to_its_end() -> None:
    shares = iter([0.5, 1.0])
    assert whole("it", psutil.Process(), 1_000_000, lambda: next(shares)).events_per_s > 0
    assert next(shares, None) is None
