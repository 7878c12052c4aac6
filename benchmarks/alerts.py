"""How long many alerts at once take to their receivers: `python -m benchmarks.alerts [--alerts N]`.

One pass opens all of them; then the writer's turns, as serve makes them, beside real receivers on sockets: one that
takes a message each, one that takes all in one, and one that accepts the connection and never answers.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import SecretStr

from pipeline import logs
from pipeline.alerts import update_alerts
from pipeline.alerts.holding import release
from pipeline.clock import SystemClock
from pipeline.config import KafkaSettings, LogSettings, Settings
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint, Endpoints
from pipeline.delivery.outbox import DueMessage, due, mark_outcomes, pending
from pipeline.delivery.receiver import Receiver
from pipeline.delivery.signing import new_secret
from pipeline.detect import DetectionResult
from pipeline.metrics import Metrics
from pipeline.rules import RuleSet, load_rules
from pipeline.rules.model import Window
from pipeline.serve.delivery import Delivery
from pipeline.store import Store

RULE: Final = "shared_client"
TURN_S: Final = 0.2  # what serve waits for input in a turn
GIVEN_UP_S: Final = 300.0


def signals(groups: int, now: datetime) -> pl.DataFrame:
    """Two accounts a group, each group strong enough to alert by itself."""
    return pl.DataFrame({"number": range(2 * groups)}).select(
        pl.lit(RULE).alias("rule_id"),
        pl.lit("likeness").alias("evidence"),
        pl.lit("client").alias("dimension"),
        pl.format("client:{}", pl.col("number") // 2).alias("entity_id"),
        pl.format("acct_{}", "number").alias("account_id"),
        pl.format("client:{}", pl.col("number") // 2).alias("group_key"),
        pl.lit(0.7).alias("strength"),
        pl.lit("It shares a client with another account.").alias("reason"),
        pl.lit(now - timedelta(hours=1)).alias("window_start"),
        pl.lit(now).alias("window_end"),
        pl.lit(now - timedelta(hours=1)).alias("first_seen"),
        pl.lit(now).alias("last_seen"),
    )


@contextmanager
def silent() -> Iterator[str]:
    """A receiver that accepts connections and says nothing."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()


def run(alerts: int, directory: Path) -> None:
    """Print how long each part took."""
    secret, clock = new_secret(), SystemClock()
    rule = load_rules(Settings().rules).rules[RULE]
    object.__setattr__(rule, "meta", rule.meta.model_copy(update={"alert": "match", "alert_at": 0.5}))
    rules = RuleSet({RULE: rule})
    with (
        Receiver(SecretStr(secret)) as each,
        Receiver(SecretStr(secret)) as grouped,
        silent() as hangs,
        Store.open(directory / "store.duckdb", Settings().store, clock=clock) as store,
    ):
        endpoints = Endpoints(
            {
                "each": Endpoint(url=SecretStr(each.url), secret=SecretStr(secret)),
                "grouped": Endpoint(
                    url=SecretStr(grouped.url), secret=SecretStr(secret), group_by=("all",), group_wait_s=0
                ),
                "hangs": Endpoint(url=SecretStr(hangs), secret=SecretStr(secret)),
            }
        )
        now = datetime.now(UTC)
        with store.transaction() as tx:
            tx.insert("signal", signals(alerts, now))
        begun = time.monotonic()
        with store.transaction() as tx:
            result = DetectionResult(now, windows={RULE: [Window(now - timedelta(hours=1), now, now)]})
            made = update_alerts(tx, result, now=now, endpoints=endpoints, metrics=Metrics(), rules=rules)
            release(tx, now, endpoints)
        print(f"opened and written: {len(made):,} alerts in {time.monotonic() - begun:.1f} s")
        begun = time.monotonic()
        with store.transaction() as tx:
            update_alerts(tx, result, now=now, endpoints=endpoints, metrics=Metrics(), rules=rules)
        print(f"a pass that changes none of them: {time.monotonic() - begun:.3f} s")
        delivery = Delivery(Reach.of(["127.0.0.1"], http=True), KafkaSettings(), clock, Metrics())
        delivery.use(endpoints)
        turns = _deliver(store, delivery, each, grouped, alerts)
        print(f"the writer's longest turn meanwhile: {max(turns):.2f} s")
        with store.reading() as connection:
            print(f"left, for the one that hangs: {pending(connection):,}")
        delivery.close(0)


def _deliver(store: Store, delivery: Delivery, each: Receiver, grouped: Receiver, alerts: int) -> list[float]:
    begun = time.monotonic()
    turns: list[float] = []
    told = {"each": False, "grouped": False}
    while not all(told.values()) and time.monotonic() - begun < GIVEN_UP_S:
        time.sleep(TURN_S)
        turn = time.monotonic()
        outcomes = delivery.collect()
        if outcomes:
            with store.transaction() as tx:
                mark_outcomes(tx, outcomes)

        def of(endpoint: str, limit: int) -> list[DueMessage]:
            with store.reading() as connection:
                return due(connection, datetime.now(UTC), endpoint=endpoint, limit=limit)

        delivery.send(of)
        turns.append(time.monotonic() - turn)
        for name, came in (("each", len(each.messages) >= alerts), ("grouped", bool(grouped.messages))):
            if came and not told[name]:
                told[name] = True
                count = len(each.messages) if name == "each" else len(grouped.messages)
                print(f"{name}: {count:,} messages after {time.monotonic() - begun:.1f} s")
    return turns


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000)
    chosen = parser.parse_args()
    logs.configure(LogSettings(level="error"), service="benchmark")
    with tempfile.TemporaryDirectory() as directory:
        run(chosen.alerts, Path(directory))


if __name__ == "__main__":
    main()
