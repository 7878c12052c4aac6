"""How the running pipeline stands, with rates from two samples."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.clock import Clock
from pipeline.config import Place
from pipeline.errors import BrokerUnavailableError
from pipeline.serve.client import ServeClient
from pipeline.serve.view import Health


@dataclass(frozen=True, slots=True)
class Status:
    """Health and what follows from two looks at it."""

    health: Health
    events_per_s: float
    dead_letters_per_s: float
    watermark_age_s: float | None


class NotServedError(BrokerUnavailableError):
    """No serving process for this store."""


def take_status(store: Place, *, clock: Clock, sample_s: float) -> Status:
    """Ask the process that serves ``store``, twice; blocks for ``sample_s``.

    Raises:
        NotServedError: none does.
    """
    client = ServeClient.find(store)
    if client is None:
        raise NotServedError(f"no serve runs on {store}", next_step="start one: stillwatch up, or stillwatch serve")
    with client:
        began, first = clock.monotonic(), client.health()
        threading.Event().wait(sample_s)
        second = client.health()
        return between(first, second, seconds=clock.monotonic() - began, clock=clock)


def between(first: Health, second: Health, *, seconds: float, clock: Clock) -> Status:
    """Status from two samples that many seconds apart."""
    age = None if second.watermark is None else (clock.now() - second.watermark).total_seconds()
    return Status(
        second,
        max(0.0, (second.events - first.events) / seconds),
        max(0.0, (second.dead_letters - first.dead_letters) / seconds),
        age,
    )


def lines(status: Status) -> list[tuple[str, str]]:
    """Name and value of each line, for people."""
    health = status.health
    return [
        ("ready", "yes" if health.ready else "no: " + "; ".join(health.reasons)),
        ("events", f"{health.events} ({status.events_per_s:.0f}/s)"),
        ("dead letters", f"{health.dead_letters} ({status.dead_letters_per_s:.0f}/s)"),
        ("lag", _lag(health.lag_messages)),
        (
            "watermark",
            "none yet" if health.watermark is None else f"{health.watermark} ({status.watermark_age_s:.0f} s old)",
        ),
        ("stalled", ", ".join(map(str, health.stalled_partitions)) or "none"),
        ("holes", str(health.holes)),
        ("store", f"{health.store_bytes / 1e6:.1f} MB"),
        ("looks on their way", str(health.looks_pending)),
        ("alerts open", str(health.alerts_open)),
        ("to deliver", str(health.outbox_pending)),
        *(("warning", warning) for warning in health.warnings),
    ]


def _lag(by_topic: Mapping[str, int]) -> str:
    return ", ".join(f"{topic} {count}" for topic, count in sorted(by_topic.items())) or "unknown"
