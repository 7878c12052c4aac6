"""Every metric, declared once with its meaning; the docs list them from here. A misspelt name is a type error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pipeline.errors import ConfigError

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: its kind, what it means, its labels."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


CounterName = Literal[
    "ingest_messages",
    "ingest_events",
    "ingest_dead_letters",
    "ingest_ignored",
    "ingest_consumers_renewed",
    "worker_events",
    "worker_duplicates",
    "worker_late",
    "worker_deltas",
    "worker_corrupt_messages",
    "worker_missing_messages",
    "serve_deltas",
    "serve_deltas_refused",
    "serve_holes",
    "serve_corrupt_messages",
    "serve_queries",
    "rules_evaluated",
    "rules_failed",
    "rules_reloaded",
    "alerts_opened",
    "webhook_attempts",
]
GaugeName = Literal[
    "ingest_paused_partitions",
    "worker_pending_events",
    "serve_watermark_seconds",
    "serve_watermark_age_seconds",
    "serve_lag_messages",
    "serve_stalled_partitions",
    "store_bytes",
    "rules_broken",
    "rules_off",
    "alerts_open",
    "webhook_outbox_pending",
    "endpoints_broken",
]
HistogramName = Literal["serve_apply_seconds", "rules_seconds", "visible_seconds"]

DEFINITIONS: Final[dict[str, Definition]] = {
    "ingest_messages": Definition("counter", "Raw messages read"),
    "ingest_events": Definition("counter", "Events accepted and published", ("format",)),
    "ingest_dead_letters": Definition("counter", "Items that could not be read", ("reason",)),
    "ingest_ignored": Definition("counter", "Spans that are no GenAI request"),
    "ingest_consumers_renewed": Definition("counter", "Consumers made anew, because the group had forgotten them"),
    "ingest_paused_partitions": Definition("gauge", "Partitions paused because the buffer is full"),
    "worker_events": Definition("counter", "Events counted into panes"),
    "worker_duplicates": Definition("counter", "Events seen before within the hour, not counted"),
    "worker_late": Definition("counter", "Events counted after the watermark had passed their pane"),
    "worker_deltas": Definition("counter", "Deltas confirmed by the broker"),
    "worker_corrupt_messages": Definition("counter", "Event batches that could not be read, now dead letters"),
    "worker_missing_messages": Definition("counter", "Event batches that ingest committed and the broker has lost"),
    "worker_pending_events": Definition("gauge", "Events taken in and not yet emitted"),
    "serve_deltas": Definition("counter", "Deltas applied to the store"),
    "serve_deltas_refused": Definition("counter", "Deltas not applied: a zombie's, or of what is folded", ("reason",)),
    "serve_holes": Definition("counter", "Holes between two deltas: events are missing"),
    "serve_corrupt_messages": Definition("counter", "Messages on internal topics that could not be read"),
    "serve_queries": Definition("counter", "Analyst queries", ("outcome",)),
    "serve_watermark_seconds": Definition("gauge", "Watermark, as a Unix time"),
    "serve_watermark_age_seconds": Definition("gauge", "Wall time less watermark"),
    "serve_lag_messages": Definition("gauge", "Messages not yet applied", ("topic",)),
    "serve_stalled_partitions": Definition("gauge", "Partitions without word from any worker"),
    "serve_apply_seconds": Definition("histogram", "One transaction of deltas, rules and alerts"),
    "visible_seconds": Definition("histogram", "From a delta's emission to its commit in the store"),
    "store_bytes": Definition("gauge", "Size of the store file"),
    "rules_evaluated": Definition("counter", "Rule evaluations", ("rule",)),
    "rules_failed": Definition("counter", "Rule evaluations that failed", ("rule",)),
    "rules_reloaded": Definition("counter", "Times that rules were taken anew from their files"),
    "rules_broken": Definition("gauge", "Problems in the files of rules; what was read last without stays"),
    "rules_off": Definition("gauge", "Rules that failed five times in a row or more, and are switched off"),
    "rules_seconds": Definition("histogram", "One evaluation", ("rule",)),
    "alerts_opened": Definition("counter", "Alerts opened", ("rule", "severity")),
    "alerts_open": Definition("gauge", "Alerts open now"),
    "webhook_attempts": Definition("counter", "Delivery attempts", ("outcome",)),
    "webhook_outbox_pending": Definition("gauge", "Messages waiting for delivery"),
    "endpoints_broken": Definition("gauge", "1 while the file of receivers cannot be used; what was read last stays"),
}


class Metrics:
    """The process's metrics in a registry of its own, so that tests do not share state."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        for name, item in DEFINITIONS.items():
            made = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[item.kind]
            self._made[name] = made(f"stillwatch_{name}", item.help, item.labels, registry=self.registry)

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        metric = self._made[name]
        assert isinstance(metric, Counter)
        (metric.labels(**labels) if labels else metric).inc(amount)

    def set(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge."""
        metric = self._made[name]
        assert isinstance(metric, Gauge)
        (metric.labels(**labels) if labels else metric).set(value)

    def observe(self, name: HistogramName, seconds: float, **labels: str) -> None:
        """Add an observation to a histogram."""
        metric = self._made[name]
        assert isinstance(metric, Histogram)
        (metric.labels(**labels) if labels else metric).observe(seconds)

    def value(self, name: CounterName | GaugeName, **labels: str) -> float:
        """Read a counter or gauge back; 0 where it was never touched."""
        suffix = "_total" if DEFINITIONS[name].kind == "counter" else ""
        return self.registry.get_sample_value(f"stillwatch_{name}{suffix}", labels) or 0.0


def expose(metrics: Metrics, listen: str) -> None:
    """Show the metrics at ``http://host:port/metrics`` from a daemon thread, until the process ends.

    Raises:
        ConfigError: the address cannot be listened at.
    """
    host, _, port = listen.rpartition(":")
    try:
        start_http_server(int(port), addr=host.strip("[]"), registry=metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"metrics.listen {listen}: {error.strerror or error}", next_step="name a free port of this machine"
        ) from error
