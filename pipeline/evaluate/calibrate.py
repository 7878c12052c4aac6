"""How high benign accounts score: worlds without a campaign through the real pipeline, and a reference made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from math import sqrt
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Final

import duckdb
import polars as pl

from pipeline.analyze import analyze
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.detect.reference import (
    HEAVY,
    VERSION,
    YOUNG_DAYS,
    Knowledge,
    Population,
    Reference,
    grown,
    rounded_up,
)
from pipeline.errors import UsageError
from pipeline.evaluate.knowledge import at_level
from pipeline.evaluate.own import Own, planted
from pipeline.evaluate.run import MOST_PROCESSES, worlds_at_a_time, written
from pipeline.fingerprint.hashing import hash_text
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.simulate import DEFAULT_START, Simulation, plan
from pipeline.simulate.population import FACTS

QUIET: Final = "quiet"  # the scenario of benign customers alone
STEP: Final = timedelta(hours=12)  # of event time between looks; of what is seen in between the highest counts
FEWEST_WORLDS: Final = 10
SHORTEST: Final = timedelta(hours=23)  # of one's own traffic: a day's file may begin and end with a quiet half hour
_SURE: Final = NormalDist().inv_cdf(0.99)
# None of W worlds was beyond the highest; so with 95 % no more than 3/W are (the rule of three), and such a world is
# taken to be twice as high. Benign groups that rise together are rare: the mean over a dozen worlds mostly lacks them.
_BEYOND: Final = 3 * 2
_ACCOUNTS: Final = """
select
    accounts.account_id,
    coalesce(findings.score, 0) as score,
    $knowledge || '/' || case
        when accounts.created_at is null then 'unknown'
        when accounts.created_at > coalesce(findings.first_seen, accounts.first_seen) - to_days($young_days::integer)
            then 'young'
        else 'any'
    end as population,
    sends_much(accounts.events, accounts.first_seen, accounts.last_seen) as heavy,
    coalesce(spoken.group_key, accounts.account_id) as together
from accounts
left join (
    select
        account_id,
        arg_max(group_key, (strength, group_key)) as group_key
    from signals
    group by account_id
) as spoken on accounts.account_id = spoken.account_id
left join findings on accounts.account_id = findings.entity_id and findings.dimension = 'account'
where accounts.events > 0
"""
_SIGNALS: Final = "select account_id, rule_id, max(strength) as strength from signals group by account_id, rule_id"


@dataclass(frozen=True, slots=True)
class Observed:
    """One world. ``signals``: account_id, rule_id, strength.

    ``accounts``: account_id, score, population, heavy, together; the last is one for accounts that score for the same
    thing: a tool, a client.
    """

    accounts: pl.DataFrame
    signals: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Worlds:
    """Which benign worlds to observe: each seed with facts about accounts and without, at each level."""

    seeds: tuple[int, ...]
    knowledge: tuple[Knowledge, ...] = ("full", "hashes", "metadata")
    accounts: int | None = None
    prompts: Path | None = None
    traces: Path | None = None

    @property
    def runs(self) -> int:
        """How often the pipeline runs."""
        return 2 * len(self.seeds) * len(self.knowledge)


def calibrate(
    what: Worlds, settings: Settings, *, processes: int = 1, progress: Callable[[int], None] | None = None
) -> Reference:
    """Observe simulated benign worlds, ``processes`` at a time.

    Raises:
        UsageError: too few worlds to say how far they differ.
    """
    if len(what.seeds) < FEWEST_WORLDS:
        raise _too_few(f"{len(what.seeds)} worlds are")
    tasks = list(product(what.seeds, what.knowledge, (True, False)))
    observed = []
    for number, world in enumerate(_observed(what, settings, tasks, min(processes, MOST_PROCESSES))):
        observed.append(world)
        if progress is not None:
            progress(number + 1)
    about = (
        f"{len(what.seeds)} simulated benign worlds at {', '.join(what.knowledge)}, with and without facts about "
        f"accounts, {'real' if what.prompts else 'built-in'} prompts"
    )
    return summarise(observed, _versions(settings), about)


def calibrate_own(own: Own, settings: Settings) -> Reference:
    """Observe one's own traffic, taken as benign. Its accounts are dealt to ten parts that stand for worlds.

    A population that is not in each part is left out, and ``about`` says so: nobody of it can be named by this.

    Raises:
        UsageError: there are too few accounts, or it covers less than a day: rules look at two.
    """
    first, last = own.events["timestamp"].min(), own.events["timestamp"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    if last - first < SHORTEST:
        raise UsageError(
            f"{(last - first) / timedelta(hours=1):.1f} hours of traffic say little: rules look at two days",
            next_step="name files of a day or more",
        )
    if own.events["account_id"].n_unique() < 100 * FEWEST_WORLDS:
        raise UsageError(
            f"{own.events['account_id'].n_unique()} accounts are too few to compare anybody with",
            next_step=f"name traffic of {100 * FEWEST_WORLDS} accounts or more",
        )
    simulation = planted(own, None, 0)
    runs = [_observe(simulation, settings, None)]
    if own.facts.height:
        runs.append(_observe(replace(simulation, accounts=FACTS.to_frame()), settings, None))
    parts = [part for run in runs for part in _dealt(run)]
    spread = pl.concat([part.accounts.select("population").unique() for part in parts])["population"].value_counts()
    few = spread.filter(pl.col("count") < FEWEST_WORLDS)["population"].sort().to_list()
    known = [replace(part, accounts=part.accounts.filter(~pl.col("population").is_in(few))) for part in parts]
    about = f"{(last - first) / timedelta(days=1):.1f} days of own traffic, taken as benign" + (
        f"; too few accounts for {', '.join(few)}" if few else ""
    )
    return summarise(known, _versions(settings), about)


def _versions(settings: Settings) -> dict[str, str]:
    return {rule.rule_id: rule.version for rule in load_rules(settings.rules)}


def summarise(worlds: Iterable[Observed], versions: Mapping[str, str], about: str) -> Reference:
    """The reference: of each population how its accounts score, and a bound above the mean of F over them.

    Pure. The bound is the mean over worlds plus what their differences leave open with 99 %, plus what worlds higher
    than any that was seen may add; at least 1, which is the mean where nobody scores.

    Args:
        worlds: ten or more.
        versions: of the rules that observed them, by id.
        about: for whoever reads the reference.

    Raises:
        UsageError: a population was observed in fewer than ten worlds.
    """
    found = list(worlds)
    accounts = pl.concat([one.accounts.with_columns(pl.lit(number).alias("world")) for number, one in enumerate(found)])
    signals = pl.concat([one.signals.with_columns(pl.lit(number).alias("world")) for number, one in enumerate(found)])
    # Who is not young is held against everybody of known age: a month is no wall between two kinds of customers.
    young = accounts.filter(pl.col("population").str.ends_with("/young"))
    accounts = pl.concat([accounts, young.with_columns(pl.col("population").str.replace("/young$", "/any"))])
    # Who sends much is held against others that do, where there are enough of them; and is one of all as well.
    # Only where text arrives: where it does not, benign ones show too little to hold anybody against.
    told = pl.col("population").str.starts_with("full/")
    heavy = accounts.filter(pl.col("heavy") & told).with_columns(pl.col("population") + HEAVY)
    worlds_with = heavy.group_by("population").agg(pl.col("world").n_unique().alias("worlds"))
    enough = worlds_with.filter(pl.col("worlds") >= FEWEST_WORLDS)["population"]
    accounts = pl.concat([accounts, heavy.filter(pl.col("population").is_in(enough.to_list()))])
    signals = signals.join(accounts, on=["world", "account_id"], how="inner")
    populations = {}
    for (name,), group in sorted(accounts.group_by("population")):
        if group["world"].n_unique() < FEWEST_WORLDS:
            raise _too_few(f"{name} was observed in {group['world'].n_unique()} worlds:")
        seen = signals.filter(pl.col("population") == name)
        populations[str(name)] = Population(
            len(group),
            group["world"].n_unique(),
            _bound(group),
            rounded_up(group["score"]),
            {str(rule): rounded_up(own["strength"]) for (rule,), own in sorted(seen.group_by("rule_id"))},
        )
    return Reference(VERSION, about, dict(versions), populations)


def _too_few(what: str) -> UsageError:
    return UsageError(
        f"{what} too few to say how far worlds differ",
        next_step=f"observe {FEWEST_WORLDS} or more: --seeds 101-{100 + FEWEST_WORLDS}",
    )


def _bound(group: pl.DataFrame) -> float:
    means = group.group_by("world").agg(grown(pl.col("score")).mean().alias("mean")).sort("world")["mean"]
    by_world: list[float] = means.to_list()
    beyond = _BEYOND * (max(by_world) - 1) / len(by_world)
    return round(fmean(by_world) + _SURE * stdev(by_world) / sqrt(len(by_world)) + beyond, 4)


def _observed(
    what: Worlds, settings: Settings, tasks: Sequence[tuple[int, Knowledge, bool]], processes: int
) -> Iterator[Observed]:
    if processes <= 1:
        yield from map(partial(_world, what, settings), tasks)
        return
    with worlds_at_a_time(processes, settings) as (pool, alone):
        yield from pool.map(partial(_world, what, alone), tasks)


def _world(what: Worlds, settings: Settings, task: tuple[int, Knowledge, bool]) -> Observed:
    seed, knowledge, with_facts = task
    start = DEFAULT_START + timedelta(seconds=37 * seed)
    simulation = plan(QUIET, seed=seed, start=start, accounts=what.accounts, prompts=what.prompts, traces=what.traces)
    simulation = at_level(simulation, knowledge)
    if not with_facts:
        simulation = replace(simulation, accounts=FACTS.to_frame())
    return _observe(simulation, settings, knowledge)


def _observe(simulation: Simulation, settings: Settings, knowledge: Knowledge | None) -> Observed:
    looks = []
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "store.duckdb"
        facts, releases = simulation.accounts.to_dicts(), simulation.releases
        for path, end in zip(*written(simulation, Path(directory), STEP), strict=True):
            clock = ManualClock(end)
            analyze([path], store, settings, clock=clock, metrics=Metrics(), accounts=facts, releases=releases)
            facts, releases = [], {}
            with duckdb.connect(str(store), read_only=True) as connection:
                connection.execute("set timezone = 'UTC'")
                [told] = connection.execute("select any_value(knowledge) from naming").fetchone() or (None,)
                looks.append(
                    (
                        connection.execute(
                            _ACCOUNTS, {"knowledge": knowledge or told or "metadata", "young_days": YOUNG_DAYS}
                        ).pl(),
                        connection.execute(_SIGNALS).pl(),
                    )
                )
    # Detection looks all the time, and whoever was high once would have been named then.
    last, _ = looks[-1]
    highest = pl.concat([accounts for accounts, _ in looks]).group_by("account_id").agg(pl.col("score").max())
    strongest = (
        pl.concat([signals for _, signals in looks]).group_by("account_id", "rule_id").agg(pl.col("strength").max())
    )
    return Observed(
        last.drop("score")
        .join(highest, on="account_id")
        .select("account_id", "score", "population", "heavy", "together"),
        strongest,
    )


def _dealt(run: Observed) -> Iterator[Observed]:
    """Whoever scores for the same thing stays together, as in worlds: else all parts would look alike."""
    number = hash_text(run.accounts["together"]) % FEWEST_WORLDS
    for part in range(FEWEST_WORLDS):
        accounts = run.accounts.filter(number == part)
        yield Observed(accounts, run.signals.join(accounts, on="account_id", how="semi"))
