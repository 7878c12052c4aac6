"""How far from each other are the prompts of a campaign's accounts, of benign accounts, and of the one and the other?

    python -m benchmarks.alike [--shape shards] [--seeds 1,2] [--prompts DIR]

The prompts of a labelled world are summed by account, as the pipeline does it; no store, no rule. Distances are in
units of ``distribution_error``: 0 in the mean for two accounts that draw from one source, with a standard deviation of
about 1. AUC: how often is a pair of the campaign nearer than a pair of one of its accounts and one of the cohort's;
0.5: they cannot be told apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.distribution import phases
from pipeline.events.template import normalised
from pipeline.events.words import in_words
from pipeline.fingerprint.distributions import UNIT, distributions
from pipeline.simulate import Simulation, plan

LEAST: Final = 8  # prompts an account
NEAR: Final = 2.0
_Numbers = npt.NDArray[np.float64]
_LINE: Final = "{:<24}{:>9}{:>9}{:>9}{:>8}{:>12}{:>8}{:>8}"


def accounts(simulation: Simulation) -> pl.DataFrame:
    """A row an account with LEAST prompts: cohort (null: of the campaign), events, prompt_sum."""
    said = simulation.events.unique("event_id").drop_nulls("prompt")
    texts = normalised(said["prompt"])
    # One hour for all of it: what is compared is the whole time.
    told = said.select("account_id", pl.lit(said["timestamp"].min()).alias("timestamp")).with_columns(
        phases(len(texts), in_words(texts))
    )
    truth = simulation.truth.accounts.select(
        "account_id", pl.when(pl.col("campaign_id").is_null()).then("cohort").alias("cohort")
    )
    return distributions(told).filter(pl.col("events") >= LEAST).join(truth, on="account_id").sort("account_id")


def errors_apart(rows: pl.DataFrame, others: pl.DataFrame) -> _Numbers:
    """Distances of each of ``rows`` to each of ``others`` over what chance does."""
    spreads, sums, counts = [], [], []
    for frame in (rows, others):
        total, count = frame["prompt_sum"].to_numpy().astype(float), frame["events"].to_numpy().astype(float)
        spreads.append((1 - np.square(total).sum(1) / UNIT / count**2) * count / (count - 1))
        sums.append(total)
        counts.append(count)
    likeness = sums[0] @ sums[1].T / UNIT / np.outer(counts[0], counts[1])
    distance = 2 - spreads[0][:, None] - spreads[1][None, :] - 2 * likeness
    errors = (np.abs(spreads[0]) / counts[0])[:, None] + (np.abs(spreads[1]) / counts[1])[None, :]
    apart: _Numbers = distance / ((2 / 16) ** 0.5 * errors)
    return apart


def auc(near: _Numbers, far: _Numbers) -> float:
    """How often a value of the first is below one of the second."""
    return float(np.searchsorted(np.sort(near), far).mean() / len(near))


def _pairs(apart: _Numbers) -> _Numbers:
    within: _Numbers = apart[np.triu_indices(len(apart), 1)]
    return within


def _line(name: str, rows: pl.DataFrame, campaign: pl.DataFrame | None, own: _Numbers) -> str:
    within = _pairs(errors_apart(rows, rows))
    cells = [name, len(rows), round(float(rows["events"].median() or 0)), f"{np.median(within):.1f}"]  # type: ignore[arg-type]
    cells.append(f"{(within < NEAR).mean():.2f}")
    if campaign is not None:
        across = errors_apart(campaign, rows).ravel()
        cells += [f"{np.median(across):.1f}", f"{(across < NEAR).mean():.2f}", f"{auc(own, across):.2f}"]
    return _LINE.format(*cells, *[""] * (8 - len(cells)))


def main() -> None:
    """Print a table a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="shards", help="a world that `stillwatch simulate` knows")
    parser.add_argument("--seeds", default="1,2", help="with commas between")
    parser.add_argument("--prompts", type=Path, help="a directory of public prompt files; else the built-in grammar")
    options = parser.parse_args()
    for seed in map(int, options.seeds.split(",")):
        found = accounts(plan(options.shape, seed=seed, prompts=options.prompts))
        campaign = found.filter(pl.col("cohort").is_null())
        benign = found.filter(pl.col("cohort").is_not_null())
        own = _pairs(errors_apart(campaign, campaign))
        print(f"{options.shape}, seed {seed}: errors apart, median and share below {NEAR:.0f}")
        print(_LINE.format("", "accounts", "prompts", "within", "", "to campaign", "", "AUC"))
        print(_line("the campaign", campaign, None, own))
        print(_line("all benign", benign, campaign, own))
        for [cohort], rows in sorted(benign.group_by("cohort"), key=lambda item: str(item[0][0])):
            if len(rows) > 2:
                print(_line(f"  {cohort}", rows, campaign, own))


if __name__ == "__main__":
    main()
