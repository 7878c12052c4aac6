"""CPU-seconds of one look of `shared_source`: `python -m benchmarks.sources [--accounts N]`. No broker, no ingest.

Every account sent 10 to 60 prompts of one kind in the last two days, through one of nine clients and with one of seven
mail domains; a fiftieth of them are in pools of 200 that ask from one source, of which a half have a client of their
own. Prompts are the built-in ones: their features are real, what is added up is drawn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from pipeline.clock import SystemClock
from pipeline.config import RuleSettings, StoreSettings
from pipeline.events.distribution import phases
from pipeline.events.template import normalised
from pipeline.events.words import in_words
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.schema import SUMS
from pipeline.rules import load_rules
from pipeline.rules.run import evaluate
from pipeline.simulate.texts import built_in_texts
from pipeline.store import Store

START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
POOL: Final = 200
FEWEST: Final = 10  # prompts of an account
MOST: Final = 60
_UTC: Final = pl.Datetime("us", "UTC")


def prompt_features() -> list[np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """Of each kind of built-in prompt the features, a row a prompt."""
    found = []
    for texts in built_in_texts(1).pools.values():
        prompts = normalised(pl.Series(list(dict.fromkeys(texts))[:400]))
        each = pl.DataFrame({"account_id": [f"{place:06d}" for place in range(len(prompts))]}).with_columns(
            pl.lit(START, dtype=_UTC).alias("timestamp"), phases(len(prompts), in_words(prompts)).alias("distribution")
        )
        found.append(distributions(each)["prompt_sum"].explode().to_numpy().reshape(-1, 64))
    return found


def fill(insert: Callable[[str, pl.DataFrame], object], accounts: int, seed: int = 1) -> None:
    """Facts, totals, links, hours and distributions of ``accounts`` accounts."""
    random = np.random.default_rng(seed)
    pools = max(1, accounts // 50 // POOL)
    numbers = np.arange(accounts)
    pool = np.where(numbers < pools * POOL, numbers // POOL, -1)
    features = prompt_features()
    kind = np.where(pool >= 0, pool, random.integers(0, len(features), accounts)) % len(features)
    prompts = random.integers(FEWEST, MOST + 1, accounts)
    sums = np.zeros((accounts, 64), dtype=np.int64)
    for place, rows in enumerate(features):
        for count in range(FEWEST, MOST + 1):
            at = np.flatnonzero((kind == place) & (prompts == count))
            sums[at] = rows[random.integers(0, len(rows), (len(at), count))].sum(axis=1)
    for place in range(pools):
        # A pool works on parts of its own data set: two kinds in another proportion than anybody else's.
        both = np.concatenate((features[place % len(features)], features[(place + 3) % len(features)]))
        for who_of in range(place * POOL, (place + 1) * POOL):
            sums[who_of] = both[random.integers(0, len(both), prompts[who_of])].sum(axis=0)
    moment = pl.lit(START, dtype=_UTC)
    who = pl.DataFrame(
        {
            "account_id": [f"acct-{number:07d}" for number in numbers],
            "pool": pool,
            "events": prompts,
            "draw": random.random(accounts),
            "prompt_sum": pl.Series(list(sums), dtype=pl.List(pl.Int64)),
        }
    )
    own = (pl.col("pool") >= 0) & (pl.col("draw") < 0.5)
    insert(
        "account_fact",
        who.select(
            "account_id",
            (
                moment - pl.duration(hours=24 * (pl.when(pl.col("pool") >= 0).then(9).otherwise(400 * pl.col("draw"))))
            ).alias("created_at"),
            pl.format("card-of-{}", "account_id").alias("payment_hash"),
            pl.format("mail{}.example", (pl.col("draw") * 7).floor().cast(pl.Int64)).alias("email_domain"),
            moment.alias("updated_at"),
        ),
    )
    for target, name in (
        ("model", pl.lit("large")),
        (
            "client",
            pl.when(own)
            .then(pl.format("pool-{}", "pool"))
            .otherwise(pl.format("client-{}", (pl.col("draw") * 900).floor().cast(pl.Int64) % 9)),
        ),
    ):
        insert(
            "link_hour",
            who.select(
                moment.alias("hour"),
                pl.lit("account").alias("source_kind"),
                pl.col("account_id").alias("source_id"),
                pl.lit(target).alias("target_kind"),
                name.alias("target_id"),
                "events",
                pl.lit(1, pl.Int64).alias("output_tokens"),
                *(moment.alias(column) for column in ("first_seen", "last_seen")),
            ),
        )
    insert(
        "distribution_hour",
        who.select("account_id", moment.alias("hour"), pl.col("events").cast(pl.Int64), "prompt_sum"),
    )
    counts = [name for name in SUMS if name not in {"events", "single_turn"}]
    insert(
        "hour",
        who.select(
            pl.lit("account").alias("kind"),
            pl.col("account_id").alias("entity_id"),
            moment.alias("window_start"),
            "events",
            pl.col("events").alias("single_turn"),
            *(pl.lit(0, pl.Int64).alias(column) for column in counts),
            *(moment.alias(column) for column in ("first_seen", "last_seen")),
            *(pl.lit([], dtype=pl.List(pl.UInt64)).alias(column) for column in ("tally", "ip_sketch", "prompt_sketch")),
        ),
    )


def main() -> None:
    """Print what a look costs and whom it finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    accounts = parser.parse_args().accounts
    rule = load_rules(RuleSettings()).rules["shared_source"]
    with (
        tempfile.TemporaryDirectory() as place,
        Store.open(Path(place) / "bench.duckdb", StoreSettings(), clock=SystemClock()) as store,
    ):

        def insert(table: str, frame: pl.DataFrame) -> None:
            for part in frame.iter_slices(200_000):
                with store.transaction() as tx:
                    tx.insert(table, part)

        fill(insert, accounts)
        store.checkpoint()
        began, cpu = time.perf_counter(), time.process_time()
        with store.transaction() as tx:
            found = evaluate(tx, rule, START - timedelta(hours=47), START + timedelta(hours=1))
        spent, took = time.process_time() - cpu, time.perf_counter() - began
        strong = found.filter(pl.col("strength") >= 0.5)
        print(
            f"{accounts:,} accounts: {spent:.2f} CPU-s, {took:.2f} s; {len(found)} signals, {len(strong)} from 0.5 on"
        )


if __name__ == "__main__":
    main()
