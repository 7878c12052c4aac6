"""Stores and deltas for the tests of this room: events written by hand, aggregated for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from pipeline.clock import ManualClock
from pipeline.config import StoreSettings
from pipeline.events.cues import KINDS
from pipeline.events.distribution import PHASES
from pipeline.events.schema import EVENTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import Delta
from pipeline.store import Store

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SETTINGS = StoreSettings()
# A tally as stores up to version 15 have it.
OLD_TALLY = "list_transform(tally, lambda entry: ((entry & 4095) << 32) | (entry >> 12))"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: whose, when (seconds after START), how many tokens."""

    account: str
    at_s: float
    tokens: int = 10


def frame(events: Sequence[Event]) -> pl.DataFrame:
    """As the worker sees them."""
    rows = [
        {
            "event_id": f"{event.account}-{event.at_s}",
            "timestamp": START + timedelta(seconds=event.at_s),
            "account_id": event.account,
            "api_key_id": f"key-{event.account}",
            "model": "m",
            "client": "sdk/1",
            "network": "192.0.2.0/24",
            "ip": f"192.0.2.{event.tokens % 7}",
            "status": 200,
            "input_tokens": event.tokens * 2,
            "output_tokens": event.tokens,
            "latency_ms": 1000 * event.tokens,
            "template_hash": event.tokens,
            "prompt_hash": event.tokens * 1_000_003,
            "request_kind": KINDS[event.tokens % len(KINDS)],
            "loop_out": [event.tokens, 1000 + round(event.at_s) % 40],
            "loop_in": [event.tokens % 9, 1000 + round(event.at_s) % 50],
            "distribution": [(event.tokens * (place + 1)) % 256 for place in range(PHASES)],
        }
        for event in events
    ]
    known = pl.DataFrame(rows, schema_overrides={k: EVENTS[k] for k in rows[0]}) if rows else EVENTS.to_frame()
    return known.select(
        pl.col(name) if name in known.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in EVENTS.items()
    )


def delta(
    from_offset: int,
    to_offset: int,
    events: Sequence[Event] = (),
    *,
    partition: int = 0,
    generation: int = 1,
    committed: int = 0,
    watermark_s: float | None = None,
    idle: bool = False,
    duplicates: int = 0,
) -> Delta:
    """A delta of these events; its watermark is that of its newest one unless told."""
    panes, links = aggregate(frame(events))
    newest = max((event.at_s for event in events), default=None)
    mark = watermark_s if watermark_s is not None else newest
    return Delta(
        partition=partition,
        generation=generation,
        from_offset=from_offset,
        to_offset=to_offset,
        committed=committed,
        watermark=None if mark is None else START + timedelta(seconds=mark),
        idle=idle,
        emitted_at=START,
        events=len(events),
        duplicates=duplicates,
        late=0,
        panes=panes,
        links=links,
        distributions=distributions(frame(events)),
        loops=loops(frame(events)),
    )


def memory_store(clock: ManualClock | None = None, settings: StoreSettings = SETTINGS) -> Store:
    """An empty store in memory."""
    return Store.open(None, settings, clock=clock or ManualClock(START))


def minutes(store: Store) -> dict[tuple[str, int], tuple[int, int]]:
    """(events, output tokens) of each account and minute after START."""
    return {
        (account, round((window - START).total_seconds() / 60)): (events, tokens)
        for account, window, events, tokens in rows(
            store,
            "select entity_id, window_start, events, output_tokens from fingerprints_1m where kind = 'account'",
        )
    }


def rows(store: Store, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """All rows of a query, on the writer's own connection."""
    return store.connection.execute(sql, parameters or {}).fetchall()


def apart(events: Sequence[Event], every_s: float) -> list[Delta]:
    """Committed deltas of so many seconds each, two for each stretch of time: what is over of them can be folded."""
    made: list[Delta] = []
    begun = 0
    for stretch in range(int(max(event.at_s for event in events) // every_s) + 1):
        within = [event for event in events if event.at_s // every_s == stretch]
        for part in (within[::2], within[1::2]):
            end = begun + len(part)
            made.append(delta(begun, end, part, committed=end, watermark_s=(stretch + 1) * every_s))
            begun = end
    return made
