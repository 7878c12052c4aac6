"""The same seed gives the same bytes, the truth counts what is there, and nobody is told apart by an id."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.errors import InputNotFoundError, UsageError
from pipeline.simulate import SCENARIOS, Simulation, plan, simulate, write_simulation, write_truth
from pipeline.simulate.campaign import TEMPLATE
from pipeline.simulate.cohorts import COHORTS
from pipeline.simulate.seeds import generator
from pipeline.simulate.timing import Timing, closed_loop

DATA = Path(__file__).parents[2].parent / "shared" / "data"
_DIGEST = """
import hashlib
from pipeline.simulate import plan
planned = plan("demo", seed=3, accounts=200)
print(hashlib.sha256(b"".join(c.ndjson() for c in planned.chunks()) + planned.facts_ndjson()).hexdigest())
"""


@pytest.fixture(scope="module")
def demo() -> Simulation:
    return plan("demo", seed=3, accounts=400)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_seed_same_bytes_in_any_process(hash_seed: str) -> None:
    planned = plan("demo", seed=3, accounts=200)
    here = hashlib.sha256(b"".join(chunk.ndjson() for chunk in planned.chunks()) + planned.facts_ndjson()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", _DIGEST],
        env={"PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert there.stdout.strip() == here


def test_more_than_fits_into_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(UsageError, match=r"some 1\d,\d{3},\d{3} requests; more than 5,000,000 do not fit") as refused:
        plan("benign", seed=5, duration=timedelta(days=8))
    assert "fewer minutes" in str(refused.value.next_step)


def test_another_seed_gives_other_traffic() -> None:
    first, second = (
        b"".join(chunk.ndjson() for chunk in simulate("benign", seed=seed, accounts=50)) for seed in (1, 2)
    )
    assert first != second


def test_the_truth_counts_what_is_sent(demo: Simulation) -> None:
    messages = [message for chunk in demo.chunks(1000) for message in chunk.messages()]
    assert len(messages) == demo.truth.messages
    broken = set(demo.broken)
    events = [json.loads(message) for message in messages if message not in broken]
    ids = Counter(event["event_id"] for event in events)
    assert len(ids) == demo.truth.events
    assert sum(ids.values()) - len(ids) == demo.truth.duplicates > 0
    assert len(messages) - len(events) == demo.truth.broken > 0
    by_account = Counter({event["event_id"]: event["account_id"] for event in events}.values())
    truth = {row["account_id"]: row["events"] for row in demo.truth.accounts.to_dicts() if row["events"]}
    assert truth == by_account


def test_events_come_in_order_and_retries_soon_after(demo: Simulation) -> None:
    first = demo.events.unique("event_id", keep="first", maintain_order=True)
    assert first["timestamp"].is_sorted()
    assert first["timestamp"][-1] - first["timestamp"][0] < timedelta(minutes=12)


def test_every_cohort_sends_and_every_account_has_facts(demo: Simulation) -> None:
    sent = demo.truth.accounts.group_by("cohort").agg(pl.col("events").sum())
    assert set(sent.filter(pl.col("events") > 0)["cohort"]) == {cohort.name for cohort in COHORTS} | {"campaign"}
    assert set(demo.accounts["account_id"]) == set(demo.truth.accounts["account_id"])
    assert demo.accounts["account_id"].is_unique().all()


def test_the_campaign_is_quiet_and_unmarked(demo: Simulation) -> None:
    planned = demo.truth.accounts.filter(pl.col("campaign_id").is_not_null())
    assert planned["events"].min() == 3
    assert planned["events"].max() == 8
    shapes = demo.accounts.with_columns(
        planted=pl.col("account_id").is_in(demo.truth.planted),
        shape=pl.col("account_id").str.replace_all("[0-9a-f]", "x"),
    )
    assert shapes["shape"].n_unique() == 2 - (shapes.filter("planted")["shape"].n_unique() == 1)
    assert b"campaign" not in b"".join(chunk.ndjson() for chunk in demo.chunks())
    prompts = demo.events.filter(pl.col("prompt").str.starts_with(TEMPLATE))
    assert set(prompts["account_id"]) == demo.truth.planted


def test_the_campaign_shares_no_single_network_and_only_part_a_client(demo: Simulation) -> None:
    events = demo.events.filter(pl.col("account_id").is_in(demo.truth.planted))
    shares = events.group_by("ja4", "user_agent").agg(pl.col("account_id").n_unique()).sort("account_id")
    assert 0.4 < shares["account_id"][-1] / len(demo.truth.planted) < 0.8
    assert events["asn"].n_unique() > 10


def test_a_closed_loop_holds_its_level() -> None:
    rng = generator(1, "loop")
    took = rng.lognormal(1.5, 0.5, 800)
    starts = closed_loop(rng, took, 6)
    for at in np.linspace(20, starts.max() - 60, 25):
        level = int(((starts <= at) & (starts + took > at)).sum())
        assert 3 <= level <= 6


@pytest.mark.parametrize(("profile", "low", "high"), [("chat", 0.9, 1.3), ("code", 5.0, 40.0)])
def test_built_in_arrivals_have_the_traces_burstiness(profile: str, low: float, high: float) -> None:
    gaps = np.diff(Timing({}).arrivals(generator(5, profile), profile, 20_000, 3600.0))
    assert low < gaps.std() / gaps.mean() < high


def test_load_events_are_small_and_without_text() -> None:
    planned = plan("load", seed=1, rate=0.02)
    messages = [message for chunk in planned.chunks() for message in chunk.messages()]
    assert 350 < sum(map(len, messages)) / len(messages) < 500
    assert "prompt" not in json.loads(messages[0])
    busiest = planned.truth.accounts["events"].sort(descending=True)
    assert busiest[0] > 20 * busiest[200]


def test_files_stand_beside_each_other(tmp_path: Path) -> None:
    planned = plan("demo", seed=5, duration=timedelta(minutes=2), campaign_accounts=40)
    out = tmp_path / "traffic.ndjson"
    write_simulation(planned, out)
    written = write_truth(planned, out)
    truth = json.loads(written.truth.read_text())
    assert planned.truth.messages == truth["events"] + truth["duplicates"] + truth["broken"]
    assert sum(account["campaign_id"] is not None for account in truth["accounts"]) == 40
    facts = pl.read_ndjson(written.accounts)
    assert set(facts["account_id"]) == {account["account_id"] for account in truth["accounts"]}
    assert out.read_bytes().count(b"\n") == planned.truth.messages


def test_what_cannot_be_simulated_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="demo"):
        plan("nonsense", seed=1)
    with pytest.raises(UsageError):
        plan("benign", seed=1, duration=timedelta(0))
    for wrong in ({"prompts": tmp_path}, {"traces": tmp_path}):
        with pytest.raises(InputNotFoundError):
            plan("benign", seed=1, **wrong)  # type: ignore[arg-type]


def test_real_prompts_and_timings_change_text_and_sizes_only() -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is not there")
    built_in = plan("demo", seed=3, accounts=200)
    real = plan("demo", seed=3, accounts=200, prompts=DATA / "prompts", traces=DATA / "traces")
    # How often a pool of workers sends follows from how long its requests take; all else is the same.
    who = ["account_id", "cohort", "campaign_id"]
    assert real.truth.accounts.select(who).equals(built_in.truth.accounts.select(who))
    assert real.truth.planted == built_in.truth.planted
    tasks = [
        set(planned.events.filter(pl.col("account_id").is_in(planned.truth.planted))["prompt"])
        for planned in (real, built_in)
    ]
    assert tasks[0].isdisjoint(tasks[1])
    assert all(task.startswith(TEMPLATE) for task in tasks[0] | tasks[1])


def test_the_scenarios_say_what_they_hold() -> None:
    assert SCENARIOS["benign"].campaign_accounts == 0
    assert not plan("benign", seed=1, accounts=60).truth.planted
    assert len(plan("campaign", seed=1, accounts=60).truth.planted) == 240
