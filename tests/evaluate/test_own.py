"""One's own traffic: read in any format, judged by itself, and with campaigns planted into it."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.cli import run as cli
from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.evaluate.own import COHORT, Own, planted, planting, read_own
from pipeline.evaluate.told import decoded, told
from pipeline.simulate import DEFAULT_START, Simulation, plan
from pipeline.simulate.population import FACTS

NOW = DEFAULT_START + timedelta(days=3)


@pytest.fixture(scope="module")
def traffic() -> Simulation:
    return plan("quiet", seed=4, accounts=200, duration=timedelta(hours=6))


@pytest.fixture(scope="module")
def own(traffic: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Own:
    path = tmp_path_factory.mktemp("own") / "traffic.ndjson"
    path.write_bytes(b"".join(chunk.ndjson() for chunk in traffic.chunks()))
    return read_own([path], traffic.accounts, Settings(), now=NOW)


def test_what_was_decoded_decodes_to_the_same_again() -> None:
    simulation = plan("replay", seed=3, accounts=60, duration=timedelta(hours=6))
    once = decoded(simulation.events, now=NOW)
    again = decoded(told(once), now=NOW)
    blobs = pl.col("reasoning_blobs")
    assert_frame_equal(again.drop("reasoning_blobs"), once.drop("reasoning_blobs"))
    # A hash of a hash: others, and as many, and alike where they were alike.
    assert_frame_equal(again.select(blobs.list.len()), once.select(blobs.list.len()))
    assert once["reasoning_blobs"].null_count() < once.height
    carried = [
        frame.explode("reasoning_blobs", empty_as_null=True)
        .drop_nulls("reasoning_blobs")
        .group_by("reasoning_blobs")
        .agg(pl.col("event_id").sort())["event_id"]
        .sort()
        .to_list()
        for frame in (once, again)
    ]
    assert carried[0] == carried[1]


def test_traffic_of_another_format_is_read(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
    rows = [
        {
            "id": f"call-{at}",
            "model": "gpt-x",
            "startTime": start + 60 * at,
            "endTime": start + 60 * at + 2,
            "metadata": {"user_api_key_user_id": f"user-{at % 3}", "user_api_key_hash": "k"},
            "messages": [{"role": "user", "content": f"What is {at} and {at}? Say it in one short sentence, please."}],
            "response": {"choices": [{"message": {"content": "…"}}]},
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "status": "success",
            "call_type": "acompletion",
        }
        for at in range(30)
    ]
    path = tmp_path / "calls.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    found = read_own([path], None, Settings(), now=NOW)
    assert (found.events.height, found.refused, found.facts.height) == (30, 0, 0)
    assert found.events["account_id"].n_unique() == 3
    assert found.events["content"].struct.field("template_hash").n_unique() == 1


def test_too_little_traffic_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traffic.ndjson"
    path.write_bytes(b'{"model": "m"}\n')
    with pytest.raises(UsageError, match=r"0 events \(1 items refused\)"):
        read_own([path], None, Settings(), now=NOW)


def test_nothing_is_lost_by_reading(own: Own, traffic: Simulation) -> None:
    assert own.events.height == traffic.events.height
    assert own.refused == len(traffic.broken)
    alone = planted(own, None, 0)
    assert alone.truth.planted == frozenset()
    assert set(alone.truth.accounts["cohort"]) == {COHORT}
    assert alone.truth.events == traffic.truth.events


def test_a_campaign_is_planted_into_the_same_time_with_the_same_models(own: Own) -> None:
    world = planted(own, "grading", 5)
    mine = world.events.filter(pl.col("account_id").is_in(list(world.truth.planted)))
    assert mine.height > 500
    assert world.events.height == own.events.height + mine.height
    assert own.events["timestamp"].min() <= mine["timestamp"].min()  # type: ignore[operator]
    assert mine["timestamp"].max() <= own.events["timestamp"].max() + timedelta(minutes=1)  # type: ignore[operator]
    assert set(mine["model"]) <= set(own.events["model"])
    assert world.events["timestamp"].is_sorted()
    assert world.truth.planted.isdisjoint(own.events["account_id"])
    assert world.accounts.height == own.facts.height + len(world.truth.planted)


def test_nobody_is_known_by_being_the_only_one_of_whom_facts_are(own: Own) -> None:
    untold = Own(own.events, FACTS.to_frame(), 0)
    assert planted(untold, "grading", 5).accounts.height == 0


def test_ids_that_cannot_be_told_apart_are_refused(own: Own) -> None:
    taken = planted(own, "grading", 5)
    with pytest.raises(UsageError, match="planted-5"):
        planted(Own(taken.events, own.facts, 0), "grading", 5)


def test_scenarios_that_plant_nothing_are_passed_over() -> None:
    assert planting(("quiet", "grading", "benign", "demo")) == ("grading", "demo")


def test_the_command_judges_own_traffic(
    traffic: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traffic.ndjson").write_bytes(b"".join(chunk.ndjson() for chunk in traffic.chunks()))
    (tmp_path / "facts.ndjson").write_bytes(traffic.facts_ndjson())
    (tmp_path / "stillwatch.toml").write_text("store.threads = 1\n")
    words = "evaluate --benign traffic.ndjson --facts facts.ndjson --scenarios grading --seeds 2 --json"
    code = cli(words.split(), debug=False)
    out, err = capfd.readouterr()
    report = json.loads(out)
    alone, beside = report["runs"]
    assert (alone["scenario"], alone["campaigns"]) == ("nothing", [])
    assert beside["scenario"] == "grading"
    [campaign] = beside["campaigns"]
    assert (campaign["named"], campaign["purity"]) == (campaign["members"], 1.0)
    rows = {row["name"]: row for row in report["rows"]["full"]}
    # Of both runs the account-days are the same ones: they count once.
    assert sum(alone["benign_days"].values()) == traffic.truth.accounts.filter(pl.col("events") > 0).height
    assert rows["benign account-days falsely named"]["met"] is True
    assert rows["benign account-days falsely named, beside a campaign"]["figure"]["value"] == 0
    assert "2 of 2 worlds" in err
    assert code == 0


@pytest.mark.parametrize(
    "words", ["--facts f.ndjson", "--benign f.ndjson --knowledge metadata", "--benign none.ndjson"]
)
def test_options_that_do_not_fit_are_refused(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.ndjson").touch()
    assert cli(["evaluate", *words.split()], debug=False) in {64, 66}
