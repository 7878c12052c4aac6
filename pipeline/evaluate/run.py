"""Simulate, analyse, judge: one world after the other, each through the real pipeline in a store of its own."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from pipeline import logs
from pipeline.analyze import analyze
from pipeline.clock import ManualClock
from pipeline.config import LogSettings, Settings
from pipeline.errors import UsageError
from pipeline.evaluate.baselines import BASELINES, SEEN, compare, judged
from pipeline.evaluate.kept import kept_in
from pipeline.evaluate.knowledge import LEVELS, Knowledge, at_level
from pipeline.evaluate.score import OURS, Found, RunScore, score
from pipeline.evaluate.summary import Evaluation, summarise
from pipeline.evaluate.told import decoded
from pipeline.events.pseudonym import pseudonymise_accounts, read_key
from pipeline.metrics import Metrics
from pipeline.simulate import DEFAULT_START, SCENARIOS, Chunk, Simulation, plan

MOST_PROCESSES: Final = 2
# Requests of a campaign after which detection looks too. A goal is about those of (1): beyond it the figure would be
# late by a whole step wherever it is missed by little.
LOOKS: Final = (100, 200, 300)
LOOKS_OF: Final = {"fixed_prompt": (*LOOKS, 400, 600, 1000)}
STEP: Final = timedelta(hours=2)  # of event time that is handed in at once; first alerts are told to that accuracy
_FINDINGS: Final = "select entity_id as account_id, score, e_value, named from findings where dimension = 'account'"
_MEMBERS: Final = "select campaign_id, account_id from campaign_members"
_ALERTS: Final = """
select
    coalesce(campaign_members.account_id, substr(alerts.group_key, 9)) as account_id,
    alerts.opened_at
from alerts
left join campaign_members on alerts.campaign_id = campaign_members.campaign_id
where campaign_members.account_id is not null or alerts.group_key like 'account:%'
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate: every scenario at every level of knowledge with every seed."""

    scenarios: tuple[str, ...]
    seeds: tuple[int, ...]
    knowledge: tuple[Knowledge, ...] = ("full",)
    accounts: int | None = None  # benign accounts of each world; null: the scenario's own
    prompts: Path | None = None
    traces: Path | None = None
    baselines: bool = True
    step: timedelta = STEP

    def __post_init__(self) -> None:
        """Raises UsageError for a name that is not known."""
        for name in self.scenarios:
            if name not in SCENARIOS or SCENARIOS[name].metadata_only:
                known = ", ".join(one for one, scenario in SCENARIOS.items() if not scenario.metadata_only)
                raise UsageError(f"No scenario {name!r} to evaluate", next_step=f"Choose of {known}")
        for level in self.knowledge:
            if level not in LEVELS:
                raise UsageError(f"No level of knowledge {level!r}", next_step=f"Choose of {', '.join(LEVELS)}")

    @property
    def runs(self) -> int:
        """How many worlds it takes."""
        return len(self.scenarios) * len(self.seeds) * len(self.knowledge)


def evaluate(
    what: Plan,
    settings: Settings,
    *,
    processes: int = 1,
    progress: Callable[[int, RunScore], None] | None = None,
    resume: Path | None = None,
) -> Evaluation:
    """Run all of ``what``; the result does not depend on how many worlds are run at a time.

    Args:
        what: scenarios, seeds, levels.
        settings: as ``analyze`` takes them: rules, threshold.
        processes: worlds at a time, at most MOST_PROCESSES: each holds its traffic in memory, about 1.8 GB.
        progress: called after each run with how many are done.
        resume: a file to keep worlds in as they end; those that it has already are not run again.

    Raises:
        UsageError: the file to resume from is none.
    """
    # All shapes of a seed before the next seed: whatever is there when it is stopped can be read.
    worlds = [(name, seed) for seed in what.seeds for name in what.scenarios]
    kept = kept_in(resume, what, settings) if resume else None
    there = {} if kept is None else {world: kept.of_world(*world, what.knowledge) for world in worlds}
    scores = {world: runs for world, runs in there.items() if runs}
    left = [world for world in worlds if world not in scores]
    for world, runs in zip(left, _runs(what, settings, left, min(processes, MOST_PROCESSES, len(left))), strict=True):
        if kept is not None:
            kept.add(runs)
        scores[world] = runs
        if progress is not None:
            for run in runs:
                progress(sum(map(len, scores.values())), run)
    return summarise([run for name in what.scenarios for seed in what.seeds for run in scores[name, seed]])


def _runs(
    what: Plan, settings: Settings, worlds: Sequence[tuple[str, int]], processes: int
) -> Iterator[list[RunScore]]:
    if processes <= 1:
        yield from map(partial(_world, what, settings), worlds)
        return
    with worlds_at_a_time(processes, settings) as (pool, alone):
        yield from pool.map(partial(_world, what, alone), worlds)


@contextmanager
def worlds_at_a_time(processes: int, settings: Settings) -> Iterator[tuple[ProcessPoolExecutor, Settings]]:
    """Processes for that many worlds, and settings for each: two stores of two threads take a tenth more CPU."""
    alone = settings.model_copy(update={"store": settings.store.model_copy(update={"threads": 1})})
    # Spawned: Polars' threads do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), quiet, (settings.log,)) as pool:
        yield pool, alone


def quiet(chosen: LogSettings) -> None:
    """What services would log of worlds that do not exist is no news."""
    logs.configure(chosen.model_copy(update={"level": "error"}), service="evaluate")


def _world(what: Plan, settings: Settings, world: tuple[str, int]) -> list[RunScore]:
    """One simulation at every level of knowledge."""
    name, seed = world
    # Another second each time: panes and windows cut the same traffic elsewhere.
    start = DEFAULT_START + timedelta(seconds=37 * seed)
    simulation = plan(name, seed=seed, start=start, accounts=what.accounts, prompts=what.prompts, traces=what.traces)
    runs = []
    for level in what.knowledge:
        known = at_level(simulation, level)
        run = judge(known, settings, level=level, step=what.step)
        if what.baselines:
            run = replace(run, detectors={**run.detectors, **_baselines(known)})
        runs.append(run)
    return runs


def judge(simulation: Simulation, settings: Settings, *, level: Knowledge = "full", step: timedelta = STEP) -> RunScore:
    """Run one simulation through ``analyze`` in event time, ``step`` by step, and score what it says in the end."""
    with tempfile.TemporaryDirectory() as directory:
        found = _found(simulation, settings, Path(directory), step)
    truth = simulation.truth
    sent = simulation.events.unique(["account_id", "event_id"]).select("account_id", "timestamp")
    known = truth.accounts
    if "account_id" in settings.privacy.pseudonymise:
        # The store knows nobody by the id that he was sent with.
        key = read_key(settings.privacy)
        known, sent = pseudonymise_accounts(known, key), pseudonymise_accounts(sent, key)
    run = score(known, sent, found, scenario=truth.scenario, knowledge=level, seed=truth.seed)
    # Ranked by e-value, held against the least that names; nobody is named from infinity on.
    naming = found.findings.filter("named")["e_value"].to_list()
    ours = found.findings.select("account_id", pl.col("e_value").fill_null(0.0).alias("score"))
    return replace(run, detectors={OURS: judged(ours, math.nextafter(min(naming, default=math.inf), 0.0), known)})


def _found(simulation: Simulation, settings: Settings, directory: Path, step: timedelta) -> Found:
    paths, ends = written(simulation, directory, step)
    store = directory / "store.duckdb"
    facts, releases = simulation.accounts.to_dicts(), simulation.releases
    for path, end in zip(paths, ends, strict=True):
        # As if a day's files were handed in as they came: the clock stands at the end of each.
        clock = ManualClock(end)
        analyze([path], store, settings, clock=clock, metrics=Metrics(), accounts=facts, releases=releases)
        facts, releases = [], {}
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        findings, members, alerts = (connection.execute(sql).pl() for sql in (_FINDINGS, _MEMBERS, _ALERTS))
    return Found(findings, members, alerts.with_columns(pl.col("opened_at").cast(pl.Datetime("us", "UTC"))))


def written(simulation: Simulation, directory: Path, step: timedelta) -> tuple[list[Path], list[datetime]]:
    """A file for each ``step`` of event time, shorter ones around ``_looks``, and when each ends."""
    events = simulation.events
    first, last = events["timestamp"].min(), events["timestamp"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    grid = [first + step * index for index in range((last - first) // step + 2)]
    edges = sorted({*grid, *_looks(simulation)})
    paths: list[Path] = []
    for number, (begin, end) in enumerate(pairwise(edges)):
        # Retries stand behind their event; they go with it.
        part = events.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < end))
        path = directory / f"{number:05d}.ndjson"
        path.write_bytes(Chunk(part, simulation.broken if number == 0 else ()).ndjson())
        paths.append(path)
    return paths, edges[1:]


def _looks(simulation: Simulation) -> list[datetime]:
    """Just after each of these requests of each planted campaign."""
    looks = LOOKS_OF.get(simulation.truth.scenario, LOOKS)
    planted = simulation.truth.accounts.filter(pl.col("campaign_id").is_not_null()).select("account_id", "campaign_id")
    sent = simulation.events.unique(["account_id", "event_id"]).join(planted, on="account_id").sort("timestamp")
    at = sent.group_by("campaign_id").agg(
        pl.col("timestamp").gather([look - 1 for look in looks], null_on_oob=True).alias("at")
    )
    moments = at["at"].explode(empty_as_null=True).drop_nulls()
    return [moment + timedelta(microseconds=1) for moment in moments.to_list()]


def _baselines(simulation: Simulation) -> dict[str, dict[str, float]]:
    """Every baseline on what arrives, decoded as the pipeline decodes it, with the prompts where there are any."""
    events = simulation.events.unique("event_id", maintain_order=True)
    latest = events["timestamp"].max()
    assert isinstance(latest, datetime)
    facts = simulation.accounts.select("account_id", "payment_hash", "organisation")
    seen = (
        decoded(events, now=latest)
        .join(events.select("event_id", "prompt"), on="event_id", how="left", maintain_order="left")
        .join(facts, on="account_id", how="left", maintain_order="left")
        .select(SEEN)
    )
    return {one.name: compare(one, seen, simulation.truth.accounts) for one in BASELINES}


def quick(seeds: Sequence[int] = (1,)) -> Plan:
    """A few small worlds, to see on every change that nothing fell apart."""
    names = ("fixed_prompt", "proxy_network")
    return Plan(names, tuple(seeds), accounts=1000, baselines=False, step=timedelta(hours=24))


def full(seeds: Sequence[int]) -> Plan:
    """Every shape of campaign, the adaptive one at each cost (its last is ``adaptive``), and benign customers alone."""
    names = tuple(name for name, scenario in SCENARIOS.items() if scenario.days and name != "adaptive_4")
    return Plan(names, tuple(seeds))
