"""Does detection hold beyond one seed? Simulated traffic of many seeds through ``analyze``, judged against the truth.

    python -m benchmarks.seeds --seeds 1-15
    python -m benchmarks.seeds --seeds 1-5 --prompts DIR --traces DIR --populations all

One line a run: planted and found accounts, alerts about nobody planted, the lowest score of a planted account, the
highest of a benign one, and benign accounts named, with their cohorts. Exits with 1 when a benign account was named or
alerted about.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb

from pipeline import logs
from pipeline.analyze import analyze
from pipeline.clock import ManualClock
from pipeline.config import LogSettings, Settings
from pipeline.events.pseudonym import pseudonymise_accounts, read_key
from pipeline.metrics import Metrics
from pipeline.simulate import DEFAULT_START, Simulation, plan
from tests.detect.populations import POPULATIONS, Population

SCENARIOS: Final = ("demo", "benign", "campaign")
_ALERTED: Final = """
select count(*)
from alerts
where campaign_id is null or not exists (
    select 1
    from campaign_members
    where campaign_members.campaign_id = alerts.campaign_id and account_id in (select unnest($planted::varchar[]))
)
"""
_SCORES: Final = "select entity_id, score, named from findings where dimension = 'account'"


@dataclass(frozen=True, slots=True)
class Run:
    """What one simulation led to; ``falsely_named`` counts by cohort."""

    scenario: str
    text: str
    population: str
    seed: int
    planted: int
    found: int
    falsely_named: dict[str, int]
    false_alerts: int  # ever opened about nobody planted, resolved by the end or not
    lowest_planted: float
    highest_benign: float
    highest_cohort: str

    @property
    def line(self) -> str:
        """For people."""
        named = ", ".join(f"{count} {cohort}" for cohort, count in self.falsely_named.items()) or "0"
        return (
            f"{self.scenario:<9}{self.text:<9}{self.population:<19}{self.seed:>4}{self.planted:>8}{self.found:>7}"
            f"{self.false_alerts:>14}{self.lowest_planted:>9.3f}{self.highest_benign:>8.3f} "
            f"{self.highest_cohort:<17} {named}"
        )


HEADER: Final = (
    f"{'scenario':<9}{'text':<9}{'population':<19}{'seed':>4}{'planted':>8}{'found':>7}"
    f"{'false alerts':>14}{'lowest':>9}{'highest benign':>14} {'':<10} falsely named"
)


def judge(simulation: Simulation, population: Population, directory: Path) -> Run:
    """Run one simulation through ``analyze`` in an empty directory; text and population are left to the caller."""
    changed = population.change(simulation)
    settings = Settings.model_validate(population.settings or {})
    clock = ManualClock(DEFAULT_START + timedelta(hours=2))
    file, path = directory / "traffic.ndjson", directory / "store.duckdb"
    file.write_bytes(b"".join(chunk.ndjson() for chunk in changed.chunks(10_000)))
    facts = changed.accounts.to_dicts()
    analyze([file], path, settings, clock=clock, metrics=Metrics(), accounts=facts)
    truth = changed.truth
    if "account_id" in settings.privacy.pseudonymise:
        truth = replace(truth, accounts=pseudonymise_accounts(truth.accounts, read_key(settings.privacy)))
    cohorts = {row["account_id"]: row["cohort"] for row in truth.accounts.iter_rows(named=True)}
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(_SCORES).fetchall()
        [false_alerts] = connection.execute(_ALERTED, {"planted": sorted(truth.planted)}).fetchone() or (0,)
    scores = {account: score for account, score, _ in rows}
    named = {account for account, _, is_named in rows if is_named}
    benign = [(score, cohorts[account]) for account, score in scores.items() if account not in truth.planted]
    highest = max(benign, default=(0.0, ""))
    return Run(
        scenario=truth.scenario,
        text="",
        population="",
        seed=truth.seed,
        planted=len(truth.planted),
        found=len(named & truth.planted),
        falsely_named=dict(Counter(cohorts[account] for account in sorted(named - truth.planted))),
        false_alerts=int(false_alerts),
        lowest_planted=min((scores.get(account, 0.0) for account in truth.planted), default=0.0),
        highest_benign=highest[0],
        highest_cohort=highest[1],
    )


def runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Every combination that was asked for."""
    texts: list[tuple[str, Path | None, Path | None]] = [("built-in", None, None)] if not arguments.only_real else []
    if arguments.prompts or arguments.traces:
        texts.append(("real", arguments.prompts, arguments.traces))
    for scenario in arguments.scenarios:
        for text, prompts, traces in texts:
            for name in arguments.populations:
                for seed in arguments.seeds:
                    # Another second each time: panes and windows cut the same traffic elsewhere.
                    start = DEFAULT_START + timedelta(seconds=37 * seed)
                    simulation = plan(scenario, seed=seed, start=start, prompts=prompts, traces=traces)
                    with tempfile.TemporaryDirectory() as directory:
                        run = judge(simulation, POPULATIONS[name], Path(directory))
                    yield Run(**{**asdict(run), "text": text, "population": name})


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _names(text: str) -> list[str]:
    return list(POPULATIONS) if text == "all" else text.split(",")


def main() -> int:
    """Print a line a run, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1-15"), help="7 or 1-15")
    parser.add_argument("--scenarios", type=lambda text: text.split(","), default=list(SCENARIOS))
    parser.add_argument("--populations", type=_names, default=["as_it_is"], help=f"all, or of {', '.join(POPULATIONS)}")
    parser.add_argument("--prompts", type=Path, help="directory of real prompts")
    parser.add_argument("--traces", type=Path, help="directory of real timings")
    parser.add_argument("--only-real", action="store_true", help="not the built-in text too")
    logs.configure(LogSettings(level="error"), service="seeds")
    print(HEADER)
    done = []
    for run in runs(parser.parse_args()):
        print(run.line, flush=True)
        done.append(run)
    accused = sum(sum(run.falsely_named.values()) for run in done)
    alerted = sum(run.false_alerts for run in done)
    planted, found = sum(run.planted for run in done), sum(run.found for run in done)
    summary = {"runs": len(done), "planted": planted, "found": found, "falsely_named": accused, "false_alerts": alerted}
    print(f"seeds: {json.dumps(summary)}")
    return 1 if accused or alerted else 0


if __name__ == "__main__":
    sys.exit(main())
