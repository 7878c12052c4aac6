"""What HTTP may know and ask: the loop's last state, queries on their own cursors, commands in a queue."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.errors import QueryError
from pipeline.rules.load import RuleSet
from pipeline.rules.model import out_of_range
from pipeline.serve.view import LOOK_ROWS, Answer, Command, Health, RuleLook
from pipeline.store import Store
from pipeline.store.query import run_query, run_rule


@dataclass(frozen=True, slots=True)
class Counts:
    """What the store holds, since it was made."""

    events: int = 0
    dead_letters: int = 0
    holes: int = 0
    alerts_open: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop last saw of itself."""

    watermark: datetime | None
    stalled: tuple[int, ...]
    unheard: frozenset[int]
    lag: Mapping[str, int]
    behind_s: float  # how old the newest deltas that are counted were, if there are more to read
    looks_pending: int
    outbox_pending: int
    counts: Counts
    store_bytes: int
    at_s: float  # monotonic
    warnings: tuple[str, ...] = ()


def count(connection: duckdb.DuckDBPyConnection) -> Counts:
    """Count what the store holds. Raises duckdb.Error."""
    row = connection.execute(
        "select (select coalesce(sum(events), 0)::bigint from delta_log), (select count(*) from dead_letter), "
        "(select count(*) from hole where not past_epoch), (select count(*) from alert where resolved_at is null)"
    ).fetchone()
    return Counts(*row) if row else Counts()


@dataclass(slots=True)
class ServeState:
    """Implements ``ServeView``. The loop writes whole values, HTTP threads read them: no lock is needed."""

    store: Store
    settings: Settings
    clock: Clock
    rules: RuleSet = field(default_factory=lambda: RuleSet({}))
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

    def look(self, asked: RuleLook, *, timeout_s: float) -> Answer:
        """Run a rule that is loaded over some window; from any thread. A text that somebody sends is never run.

        Raises:
            QueryError: no such rule is loaded, or another text of it; it fails or is too slow.
        """
        rule = self.rules.rules.get(asked.rule_id)
        if rule is None or rule.text != asked.text:
            known = "no rule" if rule is None else "another text of rule"
            raise QueryError(
                f"serve runs {known} {asked.rule_id}",
                next_step="put it where rules.directory of serve's settings is, wait for some seconds, or look at a "
                "copy of the store: stillwatch store backup COPY, then --store COPY",
            )
        wrong = out_of_range(asked.parameters, rule.meta.parameters)
        if wrong:
            raise QueryError(f"{asked.rule_id}: {'; '.join(wrong)}", next_step="see `stillwatch rules show`")
        values = {**rule.parameters, **asked.parameters, "since": asked.since, "until": asked.until}
        sql = f"explain {rule.sql}" if asked.explain else rule.sql
        try:
            result = run_rule(self.store, sql, params=values, timeout_s=timeout_s, max_rows=LOOK_ROWS)
        except QueryError as error:
            step = "if it needs more time or memory: stillwatch store backup COPY, then --store COPY"
            raise QueryError(error.message, next_step=step) from error
        return Answer(result.table, result.truncated)

    def submit(self, command: Command) -> Future[Mapping[str, object]]:
        """Hand a write to the loop."""
        future: Future[Mapping[str, object]] = Future()
        self.commands.put((command, future))
        return future

    def health(self) -> Health:
        """The state as of the last look of the loop. Asks the store nothing: it answers while that is stuck, too."""
        seen = self._seen
        reasons = self._reasons(seen)
        counts = seen.counts if seen else Counts()
        return Health(
            ready=not reasons,
            reasons=reasons,
            watermark=seen.watermark if seen else None,
            lag_messages=seen.lag if seen else {},
            stalled_partitions=seen.stalled if seen else (),
            store_bytes=seen.store_bytes if seen else 0,
            events=counts.events,
            dead_letters=counts.dead_letters,
            holes=counts.holes,
            alerts_open=counts.alerts_open,
            looks_pending=seen.looks_pending if seen else 0,
            outbox_pending=seen.outbox_pending if seen else 0,
            warnings=seen.warnings if seen else (),
        )

    def _reasons(self, seen: Seen | None) -> list[str]:
        reasons = [f"the store cannot be written: {self._failure}"] if self._failure else []
        if seen is None:
            return reasons or ["starting"]
        limit_s = self.settings.serve.ready_lag_s
        silent_s = self.clock.monotonic() - seen.at_s
        if silent_s > limit_s and not self._failure:
            reasons.append(f"the writer has not come round for {silent_s:.0f} s")
        if seen.behind_s > limit_s:
            reasons.append(f"{seen.behind_s:.0f} s behind the workers, {sum(seen.lag.values())} messages to read")
        if seen.stalled:
            reasons.append(f"no worker speaks for partitions {', '.join(map(str, seen.stalled))}")
        elif seen.unheard:
            reasons.append(f"no worker has spoken yet for partitions {', '.join(map(str, sorted(seen.unheard)))}")
        if seen.counts.holes:
            reasons.append(f"{seen.counts.holes} holes: events are missing; see the view pipeline_health")
        return reasons
