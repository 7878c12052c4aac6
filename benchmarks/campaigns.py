"""CPU-seconds of one look for campaigns: `python -m benchmarks.campaigns`. No broker, no rules: signals as they found.

Every account has a signal under one popular template, and links of the day; a tenth of them are in pools that share
passages, a client and payments, and half of the pools come through one network that thousands of others use too. All
accounts are handed in as changed, as after a look at a window that all of them sent in.
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
from pipeline.config import StoreSettings
from pipeline.detect.campaigns import update_campaigns
from pipeline.store import Store

START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
POOL: Final = 500  # accounts of a pool
WINDOWS: Final = 4
LINKS: Final = 20  # things that an account used in the day
_UTC: Final = pl.Datetime("us", "UTC")


def fill(insert: Callable[[str, pl.DataFrame], object], accounts: int, seed: int = 1) -> list[str]:
    """Signals, findings, facts and links of ``accounts`` accounts; return their ids."""
    random = np.random.default_rng(seed)
    pools = max(1, accounts // 10 // POOL)
    ids = pl.Series("account_id", [f"acct-{i:07d}" for i in range(accounts)])
    pool = np.where(np.arange(accounts) < pools * POOL, np.arange(accounts) // POOL, -1)
    who = pl.DataFrame({"account_id": ids, "pool": pool, "draw": random.random(accounts)})
    named = pl.col("pool") >= 0
    vpn = (named & (pl.col("pool") % 2 == 0)) | (~named & (pl.col("draw") < 0.1))
    held = pl.concat(
        [
            who.select("account_id", pl.lit("template:popular").alias("group_key")),
            who.filter(vpn).select("account_id", pl.lit("network:vpn").alias("group_key")),
            *(
                who.filter(named & (pl.col("draw") < share)).select(
                    "account_id", pl.format("{}:{}", pl.lit(kind), "pool").alias("group_key")
                )
                for kind, share in (("fragment", 1.0), ("system_prompt", 0.9), ("client", 0.6))
            ),
        ]
    )
    windows = pl.DataFrame({"number": list(range(WINDOWS))})
    moment = pl.lit(START, dtype=_UTC)
    insert(
        "signal",
        held.join(windows, how="cross").select(
            pl.lit("shared_prompt").alias("rule_id"),
            pl.lit("likeness").alias("evidence"),
            pl.lit("account").alias("dimension"),
            pl.col("account_id").alias("entity_id"),
            "account_id",
            "group_key",
            pl.lit(0.55).alias("strength"),
            pl.format("It shares {}.", "group_key").alias("reason"),
            (moment + pl.duration(hours=6 * pl.col("number") - 24)).alias("window_start"),
            (moment + pl.duration(hours=6 * pl.col("number"))).alias("window_end"),
            moment.alias("first_seen"),
            (moment + pl.duration(minutes=5)).alias("last_seen"),
        ),
    )
    insert(
        "finding",
        who.select(
            pl.format("account:{}", "account_id").alias("finding_id"),
            pl.lit("account").alias("dimension"),
            pl.col("account_id").alias("entity_id"),
            pl.when(named).then(0.95).otherwise(0.5 + 0.2 * pl.col("draw")).alias("score"),
            named.alias("named"),
            pl.lit([], dtype=pl.List(pl.String())).alias("reasons"),
            *(moment.alias(name) for name in ("first_seen", "last_seen", "created_at", "updated_at")),
        ),
    )
    insert(
        "account_fact",
        who.select(
            "account_id",
            pl.when(named & (pl.col("draw") < 0.4))
            .then(pl.format("card-{}-{}", "pool", (pl.col("draw") * 100).floor().cast(pl.Int64)))
            .otherwise(pl.format("card-of-{}", "account_id"))
            .alias("payment_hash"),
            pl.format("mail{}.example", (pl.col("draw") * 9).floor().cast(pl.Int64)).alias("email_domain"),
            moment.alias("updated_at"),
        ),
    )
    insert(
        "account_seen",
        who.select(
            "account_id",
            *(moment.alias(name) for name in ("first_seen", "last_seen")),
            *(
                pl.lit(1, pl.Int64).alias(name)
                for name in ("events", "errors", "refused", "input_tokens", "output_tokens")
            ),
        ),
    )
    links = pl.DataFrame({"number": list(range(LINKS))})
    insert(
        "link_day",
        who.join(links, how="cross").select(
            moment.dt.truncate("1d").alias("day"),
            pl.lit("account").alias("source_kind"),
            pl.col("account_id").alias("source_id"),
            pl.col("number")
            .replace_strict({0: "model", 1: "network", 2: "client", 3: "template"}, default="fragment")
            .alias("target_kind"),
            pl.when(pl.col("number") == 0)
            .then(pl.lit("large"))
            .when((pl.col("number") == 1) & vpn)
            .then(pl.lit("vpn"))
            .when(pl.col("number") == 3)
            .then(pl.lit("popular"))
            .otherwise(pl.format("{}-{}", "account_id", "number"))
            .alias("target_id"),
            *(pl.lit(1, pl.Int64).alias(name) for name in ("events", "output_tokens")),
            *(moment.alias(name) for name in ("first_seen", "last_seen")),
        ),
    )
    return ids.to_list()


def main() -> None:
    """Print what the first look and one without news cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    accounts = parser.parse_args().accounts
    with (
        tempfile.TemporaryDirectory() as place,
        Store.open(Path(place) / "bench.duckdb", StoreSettings(), clock=SystemClock()) as store,
    ):

        def insert(table: str, frame: pl.DataFrame) -> None:
            for part in frame.iter_slices(1_000_000):
                with store.transaction() as tx:
                    tx.insert(table, part)

        ids = fill(insert, accounts)
        store.checkpoint()
        for what in ("first look", "look without news"):
            began, cpu = time.perf_counter(), time.process_time()
            with store.transaction() as tx:
                written = update_campaigns(
                    tx, ids, tests=accounts, quiet=timedelta(days=3), now=START + timedelta(hours=1)
                )
            spent, took = time.process_time() - cpu, time.perf_counter() - began
            print(f"{accounts:,} accounts, {what}: {spent:.2f} CPU-s, {took:.2f} s; {len(written)} campaigns written")
        row = store.connection.execute(
            "select count(*), sum(accounts)::bigint, sum(named_accounts)::bigint from campaigns"
        ).fetchone()
        print("campaigns, members, named: {}, {}, {}".format(*(row or (0, 0, 0))))


if __name__ == "__main__":
    main()
