"""What HTTP may know and ask: the loop's last state, queries on their own cursors, commands in a queue."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.config import Settings
from pipeline.serve.view import Answer, Command, Health
from pipeline.store import Store
from pipeline.store.query import run_query


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop last saw of itself."""

    watermark: datetime | None
    stalled: tuple[int, ...]
    lag: Mapping[str, int]
    outbox_pending: int


@dataclass(slots=True)
class ServeState:
    """Implements ``ServeView``. The loop writes whole values, HTTP threads read them: no lock is needed."""

    store: Store
    settings: Settings
    commands: queue.SimpleQueue[tuple[Command, Future[Mapping[str, object]]]] = field(default_factory=queue.SimpleQueue)
    _seen: Seen | None = None
    _failure: str | None = None

    def observe(self, seen: Seen) -> None:
        """Take over what the loop saw; it works, so an earlier failure is over."""
        self._seen, self._failure = seen, None

    def fail(self, reason: str) -> None:
        """The loop cannot store what it reads."""
        self._failure = reason

    def query(self, sql: str, params: Mapping[str, object], *, max_rows: int, timeout_s: float) -> Answer:
        """Run one analyst query; from any thread.

        Raises:
            QueryError: it is refused, wrong or too slow.
        """
        result = run_query(self.store, sql, params=params, timeout_s=timeout_s, max_rows=max_rows)
        return Answer(result.table, result.truncated)

    def submit(self, command: Command) -> Future[Mapping[str, object]]:
        """Hand a write to the loop."""
        future: Future[Mapping[str, object]] = Future()
        self.commands.put((command, future))
        return future

    def health(self) -> Health:
        """The state as of the last look of the loop, and counts from the store."""
        seen = self._seen
        cursor = self.store.reader()
        try:
            row = cursor.execute(
                "select (select coalesce(sum(events), 0)::bigint from delta_log), (select count(*) from dead_letter), "
                "(select count(*) from hole where not past_epoch), "
                "(select count(*) from alert where resolved_at is null)"
            ).fetchone()
        finally:
            cursor.close()
        events, dead, holes, alerts = row or (0, 0, 0, 0)
        reasons = self._reasons(seen, holes)
        return Health(
            ready=not reasons,
            reasons=reasons,
            watermark=seen.watermark if seen else None,
            lag_messages=seen.lag if seen else {},
            stalled_partitions=seen.stalled if seen else (),
            store_bytes=self.store.size_bytes(),
            events=events,
            dead_letters=dead,
            holes=holes,
            alerts_open=alerts,
            outbox_pending=seen.outbox_pending if seen else 0,
        )

    def _reasons(self, seen: Seen | None, holes: int) -> list[str]:
        reasons = [f"the store cannot be written: {self._failure}"] if self._failure else []
        if seen is None:
            return reasons or ["starting"]
        if seen.stalled:
            reasons.append(f"no worker speaks for partitions {', '.join(map(str, seen.stalled))}")
        if holes:
            reasons.append(f"{holes} holes: events are missing; see the view pipeline_health")
        return reasons
