"""The benign twins of a sweep, of a loop and of a pivot do what they are there for, and nobody else benign does."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest

from pipeline.simulate import Simulation, plan
from pipeline.simulate.days import NEW_MODEL


@pytest.fixture(scope="module")
def quiet() -> Simulation:
    return plan("quiet", seed=5, accounts=1000)


def of(simulation: Simulation, cohort: str) -> pl.DataFrame:
    """The events of one cohort in their order, each once."""
    accounts = simulation.truth.accounts.filter(pl.col("cohort") == cohort)["account_id"].to_list()
    events = simulation.events.unique("event_id", maintain_order=True).sort("timestamp", maintain_order=True)
    return events.filter(pl.col("account_id").is_in(accounts))


def test_a_few_requests_of_everybody_are_refused(quiet: Simulation) -> None:
    refused = of(quiet, "chat")["refused"]
    assert refused.null_count() == 0
    assert 0 < refused.mean() < 0.01  # type: ignore[operator]


def test_a_prompt_is_tried_in_variants_and_then_used(quiet: Simulation) -> None:
    events = of(quiet, "prompt_builder")
    of_accounts = [part for _, part in events.group_by("account_id") if part.height > 60]
    assert of_accounts
    finals = []
    for part in of_accounts:
        [*tried, final] = part["system"].to_list()
        first = tried.index(final)
        assert 10 <= first <= 40
        assert tried[first:] == [final] * (len(tried) - first)
        assert len(set(tried[:first])) > 0.9 * first
        assert part["refused"][:first].sum() > 0
        assert not part["refused"][first:].any()
        finals.append(final)
    assert len(set(finals)) == len(finals)  # everybody has his own


def test_a_desk_works_on_with_what_others_were_answered_minutes_ago(quiet: Simulation) -> None:
    events = of(quiet, "copy_desk")
    said = {
        text: (account, at)
        for text, account, at in events.select("response", "account_id", "timestamp").rows()
        if text is not None
    }
    handed = [
        (account, at, said[text])
        for prompt, account, at in events.select("prompt", "account_id", "timestamp").rows()
        for text in [prompt.partition("\n\n")[2]]
        if text in said
    ]
    desks = {account for account, _, _ in handed}
    share = len(handed) / events.filter(pl.col("account_id").is_in(list(desks))).height
    assert 0.3 < share < 0.6
    assert {source for _, _, (source, _) in handed}.isdisjoint(desks)
    assert min(at - earlier for _, at, (_, earlier) in handed) >= timedelta(minutes=5)
    assert len(desks) == events["account_id"].n_unique() // 4


def test_who_moves_to_the_new_model_does_not_go_back(quiet: Simulation) -> None:
    moved = 0
    for _, part in of(quiet, "early_mover").group_by("account_id"):
        there = (part["model"] == NEW_MODEL).to_list()
        # Now and then it was tried before.
        moved += there[-1] and sum(later < earlier for earlier, later in pairwise(there[-20:])) == 0
    assert moved >= 4
    [released] = quiet.releases.values()
    after = of(quiet, "chat").filter(pl.col("timestamp") > released)
    assert (after["model"] == NEW_MODEL).mean() < 0.25  # type: ignore[operator]
