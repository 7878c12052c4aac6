"""Worlds of days: people sleep, jobs run at night, and every shape of campaign is what it says it is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.events.loops import loop_in, loop_out
from pipeline.events.template import normalised
from pipeline.events.words import in_words
from pipeline.simulate import DEFAULT_START, Simulation, plan
from pipeline.simulate.neighbours import neighbours
from pipeline.simulate.passages import passage, reworded, wrap
from pipeline.simulate.rhythm import awake, conversations, job_starts
from pipeline.simulate.seeds import generator
from pipeline.simulate.shapes import SHAPES, adaptive


@pytest.fixture(scope="module")
def worlds() -> dict[str, Simulation]:
    return {shape.name: plan(shape.name, seed=5, accounts=300) for shape in SHAPES}


def planted(simulation: Simulation) -> pl.DataFrame:
    """Events of planted accounts."""
    return simulation.events.unique("event_id", maintain_order=True).filter(
        pl.col("account_id").is_in(list(simulation.truth.planted))
    )


def test_each_shape_plants_one_campaign_among_all_neighbours(worlds: dict[str, Simulation]) -> None:
    names = {one.name for one in neighbours(5)} | {"campaign"}
    for shape in SHAPES:
        truth = worlds[shape.name].truth.accounts
        assert set(truth["cohort"]) == names
        assert truth["campaign_id"].drop_nulls().unique().to_list() == [f"{shape.name}-1"]
        sent = truth.filter(pl.col("campaign_id").is_not_null())["events"]
        whole = 1 / (1 - shape.unrelated)
        assert sent.min() >= 0.9 * shape.per_account[0] * whole, shape.name  # type: ignore[operator]
        assert sent.max() <= 1.1 * shape.per_account[1] * whole + 1, shape.name  # type: ignore[operator]


def test_the_same_seed_gives_the_same_world_and_another_another() -> None:
    first, again, other = (plan("grading", seed=seed, accounts=100) for seed in (1, 1, 2))
    assert first.events.equals(again.events)
    assert first.accounts.equals(again.accounts)
    assert not first.events.equals(other.events)


def test_a_world_lasts_as_long_as_it_says(worlds: dict[str, Simulation]) -> None:
    for simulation in worlds.values():
        stamps = simulation.events.unique("event_id")["timestamp"]
        assert timedelta(days=1.8) < stamps.max() - stamps.min() < timedelta(days=2)  # type: ignore[operator]


def heard_again(events: pl.DataFrame) -> pl.DataFrame:
    """Passages that the model said and that were sent to it later: from which account to which, and after how long."""
    events = events.unique("event_id", maintain_order=True)
    none = pl.Series([None] * events.height, dtype=pl.String)
    sides = events.select("account_id", "timestamp").with_columns(
        loop_out(events["response"]).alias("said"),
        loop_in(events["system"], none, in_words(normalised(events["prompt"]))).alias("sent"),
    )
    said, sent = (sides.select("account_id", "timestamp", pl.col(name)).explode(name) for name in ("said", "sent"))
    both = said.drop_nulls().join(sent.drop_nulls(), left_on="said", right_on="sent", suffix="_to")
    return both.filter(pl.col("timestamp_to") > pl.col("timestamp")).unique("said")


def test_what_is_graded_was_answered_to_other_accounts_of_the_campaign(worlds: dict[str, Simulation]) -> None:
    found = heard_again(planted(worlds["grading"]))
    assert found["account_id_to"].n_unique() > 60
    assert found.filter(pl.col("account_id") == pl.col("account_id_to")).height < 0.05 * found.height
    assert heard_again(planted(worlds["fixed_prompt"])).is_empty()


def test_one_cohort_hands_its_own_answers_on_and_no_other(worlds: dict[str, Simulation]) -> None:
    simulation = worlds["grading"]
    cohort = simulation.truth.accounts.filter(pl.col("campaign_id").is_null()).select("account_id", "cohort")
    found = heard_again(simulation.events).join(cohort, left_on="account_id_to", right_on="account_id")
    own = found.filter(pl.col("account_id") == pl.col("account_id_to"))
    assert own.height > 20
    assert own["cohort"].unique().to_list() == ["synthetic_data"]


def test_a_proxy_network_distils_a_tenth(worlds: dict[str, Simulation]) -> None:
    events = planted(worlds["proxy_network"])
    single = events.filter(pl.col("message_count") == 1)
    # Of the unrelated ones some are first turns too; what distils says one thing before, behind or around its task.
    assert 0.1 <= single.height / events.height < 0.5


def test_shards_have_no_payload_in_common(worlds: dict[str, Simulation]) -> None:
    events = planted(worlds["shards"])
    assert events["prompt"].n_unique() > 0.97 * events.height


def test_replay_hands_blocks_round(worlds: dict[str, Simulation]) -> None:
    held = planted(worlds["replay"]).explode("reasoning_blobs").drop_nulls("reasoning_blobs")
    assert held.group_by("reasoning_blobs").agg(pl.col("account_id").n_unique())["account_id"].median() > 3  # type: ignore[operator]
    blocks = worlds["shards"].events.explode("reasoning_blobs").drop_nulls("reasoning_blobs")
    assert blocks.height > 0
    assert blocks.group_by("reasoning_blobs").agg(pl.col("account_id").n_unique())["account_id"].max() == 1


def test_a_sweep_is_refused_first_and_frozen_then(worlds: dict[str, Simulation]) -> None:
    events = planted(worlds["sweep"]).sort("timestamp")
    early, late = events.head(events.height // 6), events.tail(events.height // 2)
    assert early["refused"].mean() > 0.4  # type: ignore[operator]
    assert late["refused"].sum() == 0


def test_the_pivot_happens_within_a_day(worlds: dict[str, Simulation]) -> None:
    hours = (
        planted(worlds["pivot"])
        .group_by(pl.col("timestamp").dt.truncate("1h"))
        .agg((pl.col("model") == "aurora-5").mean().alias("share"))
        .sort("timestamp")
    )
    assert hours["share"][0] == 0
    assert hours["share"].max() > 0.5  # type: ignore[operator]


def test_the_second_pool_begins_when_the_first_has_ended(worlds: dict[str, Simulation]) -> None:
    spans = (
        planted(worlds["second_pool"])
        .group_by("account_id")
        .agg(pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last"))
    )
    middle = worlds["second_pool"].events["timestamp"].min() + timedelta(days=1)  # type: ignore[operator]
    early = spans.filter(pl.col("first") < middle)
    assert 0.4 < early.height / spans.height < 0.6
    assert early["last"].max() < spans.filter(pl.col("first") >= middle)["first"].min()  # type: ignore[operator]


def test_an_adversary_hides_more_the_more_it_pays() -> None:
    costs = [adaptive(cost) for cost in range(5)]
    assert [shape.rewording > 0 for shape in costs] == [False, False, False, False, True]
    assert [shape.own_client[1] > 0 for shape in costs] == [True, False, False, False, False]
    assert adaptive(4).unrelated == next(shape for shape in SHAPES if shape.name == "adaptive").unrelated


def test_people_sleep_at_night() -> None:
    rng = generator(1, "awake")
    moments = awake(rng, np.full(20_000, 1.0), start=DEFAULT_START, duration_s=2 * 86_400.0)
    hour = (12 + 1 + moments / 3600) % 24
    night, day = ((hour >= 2) & (hour < 6)).mean(), ((hour >= 9) & (hour < 13)).mean()
    assert night < 0.25 * day


def test_conversations_go_on_in_order() -> None:
    rng = generator(1, "talk")
    who = np.repeat(np.arange(200), 10)
    number, turn, passed = conversations(rng, who, new_share=0.3, gap_s=55.0)
    frame = pl.DataFrame({"who": who, "number": number, "turn": turn, "passed": passed})
    assert frame.group_by("number").agg(pl.col("who").n_unique())["who"].max() == 1
    assert (frame.filter(pl.col("turn") == 0)["passed"] == 0).all()
    assert frame.group_by("number").agg(pl.col("passed").is_sorted())["passed"].all()
    assert 45 < frame.filter(pl.col("turn") == 1)["passed"].median() < 65  # type: ignore[operator]


def test_a_nightly_job_starts_each_night_at_its_hour() -> None:
    rng = generator(1, "job")
    starts = job_starts(rng, hour=2.0, offset_h=1.0, start=DEFAULT_START, duration_s=3 * 86_400.0, jitter_s=60.0)
    assert np.allclose(starts, 13 * 3600 + 86_400 * np.arange(3), atol=60)


@pytest.mark.parametrize("place", ["system", "before", "after", "around"])
def test_a_passage_stands_where_it_is_put(place: str) -> None:
    rng = generator(3, "passage")
    text = passage(rng, "elicitation")
    system, prompt = wrap(text, "2 + 2?", place, "Task:")  # type: ignore[arg-type]
    both = f"{system or ''}\n{prompt}"
    assert "2 + 2?" in prompt
    assert all(part.strip(".") in both for part in text.split(". "))


def test_rewording_leaves_some_words_and_changes_others() -> None:
    rng = generator(4, "passage")
    text = passage(rng, "elicitation")
    shares = []
    for _ in range(20):
        mine, theirs = set(text.split()), set(reworded(rng, "elicitation", text, 0.4).split())
        shares.append(len(mine & theirs) / len(mine | theirs))
    assert 0.6 < sum(shares) / 20 < 0.98
    assert reworded(rng, "elicitation", text, 0.0) == text
