"""An evaluation that was stopped goes on where it ended, and never with worlds that were measured otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.evaluate import Plan, evaluate
from pipeline.evaluate.kept import kept_in
from pipeline.evaluate.score import CampaignScore, RunScore
from tests.evaluate.worlds import only

PLAN = Plan(("quiet",), (1, 2), accounts=40, baselines=False, step=timedelta(days=2))
# Which rules look does not matter here, and planning them is what takes long in a small world.
SETTINGS = only("shared_prompt", "never_idle")


def run_score(seed: int) -> RunScore:
    campaign = CampaignScore("relay-1", 1, 1, True, 1.0, 400, None)
    return RunScore("quiet", "full", seed, (campaign,), {"chat": 80}, {"chat": 1}, 2, 1, {"chat": 0.4})


def test_worlds_that_ended_are_not_run_again(tmp_path: Path) -> None:
    settings, file, ran = SETTINGS, tmp_path / "worlds", list[tuple[int, int]]()

    def tell(done: int, run: RunScore) -> None:
        ran.append((done, run.seed))

    kept_in(file, PLAN, settings).add([run_score(1)])
    both = evaluate(PLAN, settings, resume=file, progress=tell)
    assert ran == [(2, 2)]
    assert both.runs[0] == run_score(1)
    assert both.runs[1].benign_days
    again = evaluate(PLAN, settings, resume=file, progress=tell)
    assert ran == [(2, 2)]
    assert again.runs == both.runs


def test_a_line_cut_off_is_left_out_and_the_file_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "worlds"
    kept_in(file, PLAN, Settings()).add([run_score(1), run_score(2)])
    file.write_bytes(file.read_bytes()[:-20])
    kept = kept_in(file, PLAN, Settings())
    assert kept.of_world("quiet", 1, ["full"]) == [run_score(1)]
    assert kept.of_world("quiet", 2, ["full"]) is None
    kept.add([run_score(2)])
    assert kept_in(file, PLAN, Settings()).of_world("quiet", 2, ["full"]) == [run_score(2)]


def test_what_was_measured_otherwise_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "worlds"
    kept_in(file, PLAN, Settings()).add([run_score(1)])
    for plan, settings in (
        (replace(PLAN, accounts=41), Settings()),
        (replace(PLAN, step=timedelta(hours=2)), Settings()),
        (PLAN, Settings.model_validate({"rules": {"disabled": ["never_idle"]}})),
        (PLAN, Settings.model_validate({"rules": {"false_discovery_rate": 0.02}})),
    ):
        assert kept_in(file, plan, settings).of_world("quiet", 1, ["full"]) is None
    # Other seeds, scenarios and levels go into the same file.
    kept = kept_in(file, replace(PLAN, seeds=(9,), scenarios=("grading",), knowledge=("hashes", "full")), Settings())
    assert kept.of_world("quiet", 1, ["full"]) == [run_score(1)]
    assert kept.of_world("quiet", 1, ["full", "hashes"]) is None


@pytest.mark.parametrize("content", [b"no json\n", b"{}\n", b'{"of": "x", "run": {"scenario": 1}}\n'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "worlds"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="--resume"):
        kept_in(file, PLAN, Settings())
    assert file.read_bytes() == content
    with pytest.raises(UsageError, match="--resume"):
        kept_in(tmp_path, PLAN, Settings())
