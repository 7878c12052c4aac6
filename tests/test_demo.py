from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.demo.run import Outcome
from pipeline.demo.stages import demo_environ

GOOD = Outcome(
    sent=113,
    counted=100,
    duplicates=8,
    dead_lettered=5,
    planted=20,
    found=20,
    falsely_named=0,
    alerts_sent=2,
    alerts_verified=2,
)


def test_a_run_in_which_all_is_right_has_no_problems() -> None:
    assert GOOD.problems == []


def test_each_thing_that_may_be_wrong_is_named() -> None:
    wrong = Outcome(114, 100, 8, 5, 20, 18, 1, 2, 1)
    assert len(wrong.problems) == 4
    assert Outcome(113, 100, 8, 5, 0, 0, 0, 0, 0).problems


def test_no_setting_of_ones_own_pipeline_reaches_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stillwatch.toml").write_text('[rules]\ndisabled = ["shared_prompt"]\n')
    data_dir = tmp_path / "demo-data"
    data_dir.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STILLWATCH_RULES__NAME_AT", "0.99")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka.example:9092")
    environ = demo_environ(data_dir, "127.0.0.1:9", "http://127.0.0.1:9/", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    settings = load(environ=environ).settings
    assert (settings.rules.disabled, settings.rules.false_discovery_rate) == ((), 0.01)
    assert "kafka.example" not in str(settings.kafka.bootstrap)
