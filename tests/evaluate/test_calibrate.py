"""A reference is what was observed of benign accounts, and its bound lies above what it bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.config import Settings
from pipeline.detect.reference import grown
from pipeline.errors import UsageError
from pipeline.evaluate.calibrate import (
    FEWEST_WORLDS,
    Observed,
    Worlds,
    _dealt,
    calibrate,
    calibrate_own,
    summarise,
)
from pipeline.evaluate.own import Own
from pipeline.evaluate.told import decoded, told
from pipeline.rules import load_rules
from pipeline.simulate import DEFAULT_START, plan
from pipeline.simulate.population import FACTS
from tests.evaluate.worlds import only

# Of rules that find something of everybody, and of few: which ones does not matter to a reference.
FEW = only("shared_prompt", "shared_client", "never_idle")
VERSIONS = {rule.rule_id: rule.version for rule in load_rules(Settings().rules)}


def observed(scores: list[float], population: str = "full/young", strength: float = 0.4, heavy: int = 0) -> Observed:
    """One world, of which the first ``heavy`` accounts send much."""
    ids = [f"a{number}" for number in range(len(scores))]
    return Observed(
        pl.DataFrame({"account_id": ids, "score": scores, "population": [population] * len(ids)}).with_columns(
            (pl.int_range(pl.len()) < heavy).alias("heavy")
        ),
        pl.DataFrame(
            {"account_id": ids[:1], "rule_id": ["shared_client"], "strength": [strength]},
            schema={"account_id": pl.String, "rule_id": pl.String, "strength": pl.Float64},
        ),
    )


def test_a_world_counts_as_a_whole_and_nobody_is_lost() -> None:
    # The same ids in every world are other accounts.
    worlds = [observed([0.0, 0.0, 0.0, 0.2], strength=0.1 * number) for number in range(1, 11)]
    reference = summarise(worlds, VERSIONS, "test")
    # Young accounts are among those of any age, too.
    assert reference.populations["full/any"] == reference.populations["full/young"]
    population = reference.populations["full/young"]
    assert (population.accounts, population.worlds, population.scores) == (40, 10, [(0.2, 10)])
    assert sum(count for _, count in population.rules["shared_client"]) == 10
    mean = (3 + 0.8**-6) / 4
    # Worlds do not differ; what is left is what higher ones may add.
    assert population.bound == pytest.approx(mean + 6 * (mean - 1) / 10, abs=1e-4)
    assert reference.differs(VERSIONS) == []
    assert reference.differs({"shared_prompt": "another", "mine": "x"}) == ["mine", "shared_prompt"]


def test_who_sends_much_is_measured_apart_and_among_all_where_ten_worlds_have_some() -> None:
    worlds = [observed([0.3, 0.0, 0.0, 0.2], heavy=1) for _ in range(10)]
    reference = summarise(worlds, VERSIONS, "test")
    assert set(reference.populations) == {"full/young", "full/any", "full/young/heavy", "full/any/heavy"}
    assert reference.populations["full/young"].accounts == 40
    apart = reference.populations["full/young/heavy"]
    assert (apart.accounts, apart.scores, apart.rules["shared_client"]) == (10, [(0.3, 10)], [(0.4, 10)])
    fewer = summarise([*worlds[1:], observed([0.1, 0.0])], VERSIONS, "test")
    assert set(fewer.populations) == {"full/young", "full/any"}


def test_where_nobody_scores_a_score_is_worth_what_it_claims_and_no_more() -> None:
    reference = summarise([observed([0.0] * 5)] * FEWEST_WORLDS, VERSIONS, "test")
    assert reference.populations["full/young"].bound == 1.0


def test_the_bound_is_above_the_mean_it_bounds_in_nearly_all_references() -> None:
    """Groups of accounts that score together in some worlds, as a tool's users do: the unit is the world."""
    rng = np.random.default_rng(3)

    def scores() -> list[float]:
        found = np.where(rng.uniform(size=50) < 0.1, rng.uniform(0, 0.5, 50), 0.0)
        if rng.uniform() < 0.5:
            found[:10] = rng.uniform(0.3, 0.7)
        return [float(one) for one in found]

    many = pl.DataFrame({"score": [score for _ in range(4000) for score in scores()]})
    truth = float(many.select(grown(pl.col("score")).mean()).item())  # E[F]
    bounds = [
        summarise([observed(scores()) for _ in range(20)], VERSIONS, "test").populations["full/young"].bound
        for _ in range(60)
    ]
    assert np.mean([bound >= truth for bound in bounds]) >= 0.95


def test_too_few_worlds_are_refused_before_they_are_run() -> None:
    with pytest.raises(UsageError, match="3 worlds are too few") as caught:
        calibrate(Worlds((1, 2, 3)), Settings())
    assert "--seeds 101-110" in str(caught.value.next_step)
    few = [observed([0.1] * 3)] * FEWEST_WORLDS + [observed([0.1], "full/unknown")]
    with pytest.raises(UsageError, match="full/unknown was observed in 1 worlds"):
        summarise(few, VERSIONS, "test")


@pytest.fixture(scope="module")
def own() -> Own:
    simulation = plan("quiet", seed=4, accounts=1300, duration=timedelta(hours=24))
    return Own(told(decoded(simulation.events, now=DEFAULT_START + timedelta(days=2))), simulation.accounts, 0)


def test_own_traffic_makes_a_reference_with_facts_and_without(own: Own) -> None:
    reference = calibrate_own(own, FEW)
    assert reference.rules.keys() == {"shared_prompt", "shared_client", "never_idle"}
    assert set(reference.populations) == {"full/young", "full/any", "full/unknown"}
    seen = own.events["account_id"].n_unique()
    assert reference.populations["full/unknown"].accounts == seen
    assert reference.populations["full/young"].accounts < reference.populations["full/any"].accounts <= seen
    some = pl.col("account_id").is_in(own.events["account_id"].unique()[:500].implode())
    without = Own(own.events.filter(some), FACTS.to_frame(), 0)
    with pytest.raises(UsageError, match="too few to compare"):
        calibrate_own(without, FEW)
    begin = own.events["timestamp"].min()
    assert isinstance(begin, datetime)
    morning = replace(own, events=own.events.filter(pl.col("timestamp") < begin + timedelta(hours=3)))
    with pytest.raises(UsageError, match=r"(2|3)\.\d hours of traffic say little"):
        calibrate_own(morning, FEW)


def test_who_scores_for_the_same_thing_stays_in_one_part_and_every_account_is_in_one() -> None:
    ids = [f"a{number}" for number in range(200)]
    accounts = pl.DataFrame({"account_id": ids}).with_columns(
        pl.lit(0.5).alias("score"),
        pl.lit("full/any").alias("population"),
        pl.lit(value=False).alias("heavy"),
        pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("client:x")).otherwise("account_id").alias("together"),
    )
    signals = accounts.select("account_id", pl.lit("shared_client").alias("rule_id"), pl.lit(0.5).alias("strength"))
    parts = list(_dealt(Observed(accounts, signals)))
    assert sorted(pl.concat([part.accounts for part in parts])["account_id"]) == sorted(ids)
    assert [part.signals.height for part in parts] == [part.accounts.height for part in parts]
    assert len([part for part in parts if part.accounts["together"].is_in(["client:x"]).any()]) == 1
    assert all(part.accounts.height for part in parts)


def test_a_population_of_one_s_own_that_is_too_small_is_left_out_and_named(own: Own) -> None:
    # Of five accounts only is the age known.
    five = own.events["account_id"].unique().sort()[:5]
    reference = calibrate_own(replace(own, facts=own.facts.filter(pl.col("account_id").is_in(five.implode()))), FEW)
    assert "full/unknown" in reference.populations
    assert "full/young" not in reference.populations
    assert "too few accounts for" in reference.about
