"""One's own traffic, taken as benign, with simulated campaigns planted into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.evaluate.run import STEP, judge
from pipeline.evaluate.score import RunScore
from pipeline.evaluate.summary import Evaluation, summarise_own
from pipeline.evaluate.told import decoded, read_events, told
from pipeline.simulate import SCENARIOS, Simulation, Truth, plan
from pipeline.simulate.population import FACTS
from pipeline.simulate.truth import labels

COHORT: Final = "your accounts"
NOTHING: Final = "nothing"  # the run without a campaign
_STEPS: Final = 12  # of event time at most: each is a pass of detection
_SHORTEST: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Own:
    """Traffic that is taken as benign. ``events``: native without text, see ``told``; ``facts``: of its accounts."""

    events: pl.DataFrame
    facts: pl.DataFrame
    refused: int  # items of the files that could not be read


def read_own(files: Sequence[Path], facts: pl.DataFrame | None, settings: Settings, *, now: datetime) -> Own:
    """Read what ``analyze`` reads, all of it into memory (about 500 bytes an event).

    Args:
        files: in any format and compression that ``analyze`` takes.
        facts: about accounts (ACCOUNTS), where there are any.
        settings: of decoding.
        now: wall time; events are refused as too old or in the future by it.

    Raises:
        UsageError: there is nothing in it, or it covers less than ten minutes.
    """
    events, refused = read_events(files, settings, now=now)
    first, last = events["timestamp"].min(), events["timestamp"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime) or last - first < _SHORTEST:
        raise UsageError(
            f"{len(events)} events ({refused} items refused) that cover less than ten minutes: too little to judge by",
            next_step="name files with a day of traffic or more",
        )
    return Own(told(events), FACTS.to_frame() if facts is None else facts, refused)


def planted(own: Own, scenario: str | None, seed: int) -> Simulation:
    """The traffic with the campaigns of a scenario in it; None: with nothing.

    They cover the same time, use the models that the traffic uses, and are known by ids that nobody in it has. Facts
    about them are told only where facts about others are: else everybody of whom anything is known would be planted.
    """
    truth = labels(own.events["account_id"].unique().sort().to_list(), COHORT, None)
    events, facts = own.events, own.facts
    if scenario is not None:
        first, last = events["timestamp"].min(), events["timestamp"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        # Whatever benign accounts the scenario has are left out again.
        world = plan(scenario, seed=seed, start=first, duration=last - first, accounts=1)
        campaign = world.truth.accounts.filter(pl.col("campaign_id").is_not_null())
        sent = world.events.filter(pl.col("account_id").is_in(campaign["account_id"].implode()))
        renamed = pl.format(f"planted-{seed}-{{}}", "account_id").alias("account_id")
        campaign = campaign.with_columns(renamed)
        if campaign["account_id"].is_in(truth["account_id"].implode()).any():
            raise UsageError(f"the traffic has accounts named planted-{seed}-…", next_step="choose other --seeds")
        latest = sent["timestamp"].max()
        assert isinstance(latest, datetime)
        sent = told(decoded(sent, now=latest)).with_columns(
            renamed, pl.format(f"planted-{seed}-{{}}", "event_id").alias("event_id"), _models(sent, events)
        )
        events = pl.concat([events, sent], how="diagonal_relaxed")
        truth = pl.concat([truth, campaign.select(truth.columns)])
        if own.facts.height:
            known = world.accounts.with_columns(renamed).join(campaign, on="account_id", how="semi")
            facts = pl.concat([own.facts, known], how="diagonal_relaxed")
    counts = (
        events.unique(["account_id", "event_id"]).group_by("account_id").agg(pl.len().cast(pl.Int64).alias("events"))
    )
    labelled = truth.join(counts, on="account_id", how="left", maintain_order="left").with_columns(
        pl.col("events").fill_null(0)
    )
    unique = int(labelled["events"].sum())
    named = Truth(scenario or NOTHING, seed, labelled, unique, events.height - unique, 0)
    return Simulation(events.sort("timestamp", "event_id", maintain_order=True), (), facts, named)


def planting(scenarios: Sequence[str]) -> tuple[str, ...]:
    """Those that plant anything."""
    return tuple(name for name in scenarios if SCENARIOS[name].shapes or SCENARIOS[name].campaign_accounts)


def evaluate_own(
    own: Own,
    scenarios: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    *,
    progress: Callable[[int, RunScore], None] | None = None,
) -> Evaluation:
    """The traffic by itself, then with the campaigns of each scenario and seed in it, one run at a time.

    Args:
        own: the traffic.
        scenarios: whose campaigns are planted, see ``planting``.
        seeds: of the campaigns.
        settings: as ``analyze`` takes them.
        progress: called after each run with how many are done.
    """
    first, last = own.events["timestamp"].min(), own.events["timestamp"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    step = max(STEP, (last - first) / _STEPS)
    runs: list[RunScore] = []
    for scenario, seed in [(None, 0), *((scenario, seed) for scenario in scenarios for seed in seeds)]:
        runs.append(judge(planted(own, scenario, seed), settings, step=step))
        if progress is not None:
            progress(len(runs), runs[-1])
    return summarise_own(runs)


def _models(sent: pl.DataFrame, events: pl.DataFrame) -> pl.Expr:
    """The most used model of the campaign is the most used of the traffic, and so on; from the first again."""
    theirs, ours = (_by_use(frame) for frame in (sent, events))
    return pl.col("model").replace({model: ours[index % len(ours)] for index, model in enumerate(theirs)})


def _by_use(events: pl.DataFrame) -> list[str]:
    return events.group_by("model").len().sort("len", "model", descending=[True, False])["model"].to_list()
