"""A writer that tests kill: three intakes, each with what the one before had sent, into a store file.

Run as ``python -m tests.alerts.killed STORE URL``. Killed anywhere and started again, it goes on where the store is.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Settings
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import settings_name
from pipeline.delivery.outbox import due
from pipeline.delivery.sender import Sender
from pipeline.events.schema import EVENTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.schema import DISTRIBUTIONS, LOOPS, Delta
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.clearing import Clearing
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store, next_offsets
from tests.alerts.made import SECRET
from tests.detect.world import START, world

TOPIC: Final = "stillwatch.fingerprints"
CLEARED: Final = frozenset(f"camp{number}" for number in range(30))
RULES: Final = ("closed_loop_pool", "full_speed_new_account", "shared_client", "shared_source", "shared_prompt")


def settings_of(store: Path, url: str) -> Settings:
    every = load_rules(Settings().rules).rules
    return Settings.model_validate(
        {
            "store": {"path": str(store)},
            "webhook": {"url": url, "secret": SECRET, "allow": ["127.0.0.1"], "allow_http": True},
            "rules": {"disabled": [rule_id for rule_id in every if rule_id not in RULES]},
        }
    )


def chunks() -> list[tuple[pl.DataFrame, dict[str, Any], datetime]]:
    """Events, what is said with them, and how far event time has come.

    A campaign of which some accounts are cleared; nobody is any more, and it grows; two hours of nothing.
    """
    events, facts = world()
    known = [{key: value for key, value in fact.items() if value is not None} for fact in facts]
    cleared = [fact | {"cleared_reason": "a tester"} for fact in known if fact["account_id"] in CLEARED]
    taken_back = Clearing(tuple(sorted(CLEARED)), "unclear", "ana", "it was no tester")
    end = START + timedelta(minutes=18)
    return [
        (events, {"accounts": [*known, *cleared]}, end),
        (EVENTS.to_frame(), {"clearings": [taken_back]}, end + timedelta(minutes=12)),
        (EVENTS.to_frame(), {}, end + timedelta(hours=2)),
    ]


def delta(number: int, events: pl.DataFrame, watermark: datetime) -> Delta:
    panes, links = aggregate(events)
    return Delta(
        partition=0,
        generation=1,
        from_offset=number,
        to_offset=number + 1,
        committed=number,
        watermark=watermark,
        idle=False,
        emitted_at=watermark,
        events=events.height,
        duplicates=0,
        late=0,
        panes=panes,
        links=links,
        distributions=DISTRIBUTIONS.to_frame(),
        loops=LOOPS.to_frame(),
    )


def main(path: Path, url: str) -> None:
    """Take in what is not yet in the store; send what is due after each, and mark it with the next."""
    settings, metrics = settings_of(path, url), Metrics()
    clock = ManualClock(START)
    reach = Reach.of(settings.webhook.allow, http=True)
    with Store.open(path, settings.store, clock=clock) as store:
        stepper = Stepper(store, load_rules(settings.rules), settings, clock, metrics, partitions=1)
        [endpoint] = stepper.endpoints.by_name.values()
        begin = next_offsets(store.connection, TOPIC).get(0, 0)
        # By the real clock: the receiver takes no signature of another day.
        with Sender(settings_name(url), endpoint, reach, SystemClock(), metrics) as sender:
            for number, (events, said, watermark) in enumerate(chunks()):
                clock.wall = watermark + timedelta(minutes=1)
                if number >= begin:
                    stepper.step(
                        Intake([delta(number, events, watermark)], offsets={(TOPIC, 0): number + 1}, **said),
                        epoch="epoch",
                    )
                while messages := due(store.connection, clock.now(), endpoint=sender.name):
                    stepper.step(Intake(), sender.send(messages), "epoch")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
