"""A small world: one planted campaign among look-alikes, aggregated for real, over the tables of detection.

What the store's views would show stands in tables of the same names, so that these tests need detection only.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl

from pipeline.events.schema import EVENTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.resources import sql_dir
from pipeline.sql_text import in_order, view_texts

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTES = 12
_VIEWS = (
    "signals",
    "findings",
    "suspicious_accounts",
    "campaigns",
    "campaign_members",
    "campaign_keys",
    "campaign_things",
    "merged_campaigns",
    "campaign_events",
    "campaign_successions",
    "alerts",
    "alert_events",
    "alert_words",
    "silences",
    "rule_verdicts",
    "webhook_deliveries",
    "naming",
    "corpora",
    "releases",
    "release_words",
)


def _is_macro(name: str) -> bool:
    return "create or replace macro" in view_texts()[name]


class Tx:
    """A connection with the two things that detection asks of a transaction."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("set timezone = 'UTC'")
        panes, links = aggregate(EVENTS.to_frame())
        for table, frame in (
            ("fingerprints_1m", panes.rename({"pane": "window_start"})),
            ("link_hour", links),
            ("link_delta", links),
            ("accounts", account_frame([], EVENTS.to_frame())),
        ):
            self.connection.register("shape", frame.to_arrow())
            self.connection.execute(f"create table {table} as select * from shape")
            self.connection.unregister("shape")
        self.connection.execute("create view links as from link_hour")
        self.connection.execute("create view account_fact as from accounts")
        self.connection.execute("create view account_seen as from accounts")
        self.connection.execute("create view hour as from fingerprints_1m")
        self.connection.execute("create view pane_delta as select *, window_start as pane from fingerprints_1m limit 0")
        day = "time_bucket(interval '24 hours', hour, timestamptz '1970-01-01 00:00:00+00')"
        self.connection.execute(f"create view link_day as select *, {day} as day from link_hour")
        self.connection.execute(
            "create view window_rows as select distinct 'link_hour' as level, hour as window_start from link_hour"
        )
        self.connection.execute("create view fingerprints_1h as from fingerprints_1m")
        for migration in (
            "0002_detection",
            "0003_group_reason",
            "0005_distribution",
            "0006_naming",
            "0007_corpora",
            "0008_campaign_graph",
            "0009_campaign_life",
            "0010_succession",
            "0011_heavy",
            "0012_releases",
            "0013_loops",
            "0014_deliveries",
            "0015_alert_states",
        ):
            self.connection.execute((sql_dir("schema") / f"{migration}.sql").read_text())
        for text in in_order({name: view_texts()[name] for name in view_texts() if name in _VIEWS or _is_macro(name)}):
            self.connection.execute(text)

    def execute(self, sql: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(sql, parameters)

    def insert(self, table: str, frame: pl.DataFrame) -> None:
        names = ", ".join(frame.columns)
        self.connection.register("incoming", frame.to_arrow())
        self.connection.execute(f"insert into {table} ({names}) select {names} from incoming")
        self.connection.unregister("incoming")

    def add(self, events: pl.DataFrame, facts: list[dict[str, object]]) -> None:
        panes, links = aggregate(events)
        self.insert("fingerprints_1m", panes.rename({"pane": "window_start"}))
        self.insert("link_hour", links)
        known = self.execute("select account_id from accounts").pl()
        self.insert("accounts", account_frame(facts, events).join(known, on="account_id", how="anti"))


def account_frame(facts: list[dict[str, object]], events: pl.DataFrame) -> pl.DataFrame:
    schema = {
        "account_id": pl.String(),
        "created_at": pl.Datetime("us", "UTC"),
        "organisation": pl.String(),
        "payment_hash": pl.String(),
        "email_domain": pl.String(),
        "plan": pl.String(),
        "quota": pl.Int64(),
        "cleared_reason": pl.String(),
        "cleared_until": pl.Datetime("us", "UTC"),
        "errors": pl.Int64(),
        "status": pl.String(),
        "updated_at": pl.Datetime("us", "UTC"),
    }
    seen = events.group_by("account_id").agg(
        pl.col("timestamp").min().alias("first_seen"),
        pl.col("timestamp").max().alias("last_seen"),
        pl.len().cast(pl.Int64).alias("events"),
    )
    return seen.join(pl.DataFrame(facts, schema=schema), on="account_id", how="left").sort("account_id")


def world(seed: int = 7) -> tuple[pl.DataFrame, list[dict[str, object]]]:  # noqa: C901 - one cohort after another
    """Events in order of time, and account facts. Campaign accounts are called ``camp…``."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    facts: list[dict[str, object]] = []
    end_s = MINUTES * 60

    def send(account: str, at_s: float, latency_s: float, **fields: object) -> None:
        rows.append(
            {
                "account_id": account,
                "timestamp": START + timedelta(seconds=at_s),
                "latency_ms": int(latency_s * 1000),
                "model": "m",
                **fields,
            }
        )

    def fact(account: str, age_days: float, **more: object) -> None:
        facts.append({"account_id": account, "created_at": START - timedelta(days=float(age_days)), **more})

    def loop(workers: int, latency_s: float) -> Iterable[tuple[float, float]]:
        for _ in range(workers):
            at_s = float(rng.uniform(20, 24))
            while at_s < end_s - 20:
                took_s = float(rng.lognormal(np.log(latency_s), 0.5))
                yield at_s, took_s
                at_s += took_s

    for i in range(300):
        fact(f"chat{i}", rng.exponential(150), email_domain="mail.example")
        for at_s in rng.uniform(0, end_s, int(rng.lognormal(1.2, 1.0)) + 1):
            send(
                f"chat{i}",
                float(at_s),
                float(rng.lognormal(1.2, 0.6)),
                client=f"sdk/{i % 9}",
                template_hash=int(rng.integers(1000, 1 << 60)),
            )
    for i in range(120):
        fact(f"tool{i}", rng.exponential(150), email_domain=f"firm{i}.example")
        for at_s in rng.uniform(0, end_s, int(rng.lognormal(1.5, 1.0)) + 1):
            send(
                f"tool{i}",
                float(at_s),
                float(rng.lognormal(1.2, 0.6)),
                client="aider/5",
                system_hash=7,
                template_hash=8,
            )
    for i in range(30):
        fact(f"course{i}", rng.uniform(5, 20), organisation="uni", email_domain="uni.example", payment_hash="uni")
        for at_s in rng.uniform(0, end_s, int(rng.integers(2, 9))):
            send(f"course{i}", float(at_s), float(rng.lognormal(1, 0.5)), client="sdk/3", template_hash=9)
    for name, age in (("nightly", 500.0), ("backfill", 0.1)):
        fact(name, age)
        for at_s, took_s in loop(6, 2.0):
            send(name, at_s, took_s, client="sdk/2", template_hash=len(name))
    for i in range(120):
        fact(f"camp{i}", rng.uniform(1, 12), email_domain="mail.example" if i % 3 else "throwaway.example")
    for number, (at_s, took_s) in enumerate(loop(6, 6.0)):
        i = number * 7 % 120
        send(f"camp{i}", at_s, took_s, client="rare/9" if i % 2 else f"sdk/{i % 9}", template_hash=999)
    frame = pl.DataFrame(rows, infer_schema_length=None).sort("timestamp", "account_id")
    frame = frame.with_row_index("number").with_columns(pl.format("e{}", "number").alias("event_id"))
    columns = [
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in EVENTS.items()
    ]
    return frame.select(columns), facts
