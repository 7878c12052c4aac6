"""Nobody benign is named or alerted about, not even for a while, in populations that look like a pool in one way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.seeds import judge
from pipeline.simulate import DEFAULT_START, plan
from tests.detect.populations import POPULATIONS

# The hardest of them; `python -m benchmarks.seeds --populations all` tries every one, over many seeds.
HARD = ("first_month", "tool_tried_once", "workshop", "seats", "students", "pseudonyms")


@pytest.mark.parametrize("name", HARD)
def test_nobody_benign_is_named(name: str, tmp_path: Path) -> None:
    simulation = plan("benign", seed=2, start=DEFAULT_START + timedelta(seconds=5), accounts=600)
    run = judge(simulation, POPULATIONS[name], tmp_path)
    assert (run.falsely_named, run.false_alerts) == ({}, 0)
    # The look-alikes are there to be looked at.
    assert run.highest_benign > 0.3


def test_the_campaign_is_found_beside_a_launch(tmp_path: Path) -> None:
    simulation = plan("demo", seed=2, start=DEFAULT_START + timedelta(seconds=5))
    run = judge(simulation, POPULATIONS["tool_tried_once"], tmp_path)
    assert (run.found, run.falsely_named, run.false_alerts) == (run.planted, {}, 0)
