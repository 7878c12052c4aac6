"""Through the broker and through files: the same traffic leads to the same findings, however it was cut."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pytest
from pydantic import SecretStr

from pipeline.analyze import analyze
from pipeline.clock import SystemClock
from pipeline.config import Settings
from pipeline.delivery.receiver import Receiver
from pipeline.delivery.signing import new_secret
from pipeline.demo.stages import check_alive, running
from pipeline.ingest.produce import open_sender
from pipeline.metrics import Metrics
from pipeline.serve.client import ServeClient
from pipeline.simulate import Simulation, plan

pytestmark = pytest.mark.broker

# Not the campaign's id: it comes from the key that was seen first, and that is a matter of when one looked.
FINDINGS = """
select entity_id, score, named, campaign_id is not null as in_campaign, reasons, first_seen, last_seen
from findings
where dimension = 'account'
order by entity_id
"""
SUMS = "select account_id, hour, events, prompt_sum from prompt_distributions order by account_id, hour"
CAMPAIGNS = """
select accounts, named_accounts, score, prior_odds, reasons, first_seen, last_seen, last_request, ended_at
from campaigns
order by all
"""
MEMBERS = """
select account_id, probability, shared, first_seen, last_seen
from campaign_members
order by all
"""
THINGS = "select * exclude (campaign_id) from campaign_things order by all"
SUCCESSIONS = "select * exclude (campaign_id, succeeds) from campaign_successions order by all"
ALL = (FINDINGS, CAMPAIGNS, SUMS, MEMBERS, THINGS, SUCCESSIONS)


T = TypeVar("T")


def until(look: Callable[[], T | None], within_s: float) -> T:
    """The first answer that is true."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {look.__name__}"
        time.sleep(0.2)
    return found


def in_files(simulation: Simulation, directory: Path) -> list[list[Any]]:
    """What ``analyze`` finds."""
    file, store = directory / "traffic.ndjson", directory / "files.duckdb"
    file.write_bytes(b"".join(chunk.ndjson() for chunk in simulation.chunks()))
    facts = simulation.accounts.to_dicts()
    analyze([file], store, Settings(), clock=SystemClock(), metrics=Metrics(), accounts=facts)
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return [connection.execute(sql).fetchall() for sql in ALL]


def rows(client: ServeClient, sql: str) -> list[Any]:
    """A query's rows, through serve."""
    return [tuple(row.values()) for row in client.query(sql, max_rows=10_000, timeout_s=20).table.to_pylist()]


def live(simulation: Simulation, directory: Path, *, pack: int) -> list[list[Any]]:
    """What ingest, worker and serve find over the embedded broker, ``pack`` events a message."""
    messages = [message for chunk in simulation.chunks() for message in chunk.messages()]
    newest = simulation.events["timestamp"].max()
    assert isinstance(newest, datetime)
    secret = new_secret()
    with Receiver(SecretStr(secret)) as receiver, running(directory, receiver.url, secret) as (settings, processes):

        def alive() -> ServeClient | None:
            check_alive(processes, directory)
            return ServeClient.find(settings.store.path)

        with until(alive, within_s=60) as client:
            client.import_accounts(simulation.accounts.to_dicts())
            with open_sender(settings) as sender:
                for first in range(0, len(messages), pack):
                    sender.send(b"\n".join(messages[first : first + pack]), [])
                sender.settle()

            def closed() -> bool | None:
                check_alive(processes, directory)
                health = client.health()
                arrived = health.events == simulation.truth.events and (health.watermark or newest) > newest
                return arrived and not health.looks_pending

            until(closed, within_s=90)
            return [rows(client, sql) for sql in ALL]


@pytest.mark.parametrize("pack", [1, 37])
def test_live_finds_what_files_find(tmp_path: Path, pack: int) -> None:
    start = datetime.now(UTC) - timedelta(minutes=14)
    simulation = plan("campaign", seed=3, start=start, accounts=300, campaign_accounts=80)
    from_files = in_files(simulation, tmp_path)
    assert {row[0] for row in from_files[0] if row[2]} == simulation.truth.planted
    assert simulation.truth.planted <= {row[0] for row in from_files[2]}
    assert live(simulation, tmp_path, pack=pack) == from_files
