"""Looks beside the writer: what takes long reads a committed state in a thread of its own, while the stream goes on.

The writer asks for a look in one transaction and stores what it found in a later one. The look begins once the first
is committed; what changes in its windows from then on, up to where it is stored, makes the rule look again. How far a
rule has looked is stored with what it found: of a look that was on its way when the process died nothing is known, and
it is due again. So the end is that of looks in the transaction itself, and the writer never waits for one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import duckdb
import polars as pl

from pipeline.clock import Clock
from pipeline.detect.kept import Kept
from pipeline.errors import QueryError, StoreError
from pipeline.rules.model import Rule, Window
from pipeline.rules.run import RuleAbortedError, RuleResultError, evaluate
from pipeline.store import Store

ASIDE_S: Final = 0.25  # a look that takes longer, or of which that is not known, does not hold the writer up
HELD_UP_S: Final = 0.5  # quick looks that would end later in their transaction do not hold it up either
GATHER_S: Final = 3.0  # so long a look that has ended waits for those after it: they are stored and judged in one go
GATHER_TIMES: Final = 3  # or so many times as long as that took the last time
NICER: Final = 10  # niceness of looks above the writer's: a tenth of its share where both want the processor


@dataclass(slots=True, eq=False)
class Look:
    """A look of one rule at some windows: asked for, on its way, or ended.

    ``changed`` is the start of the oldest pane that changed since it was asked for; the rest is what came of it:
    a frame a window as of ``rules.run.evaluate``, or an error, or neither: then it is to be asked for again.
    """

    rule: Rule
    windows: Sequence[Window]
    until: datetime  # event time up to which the rule has looked with it
    failures: int  # in a row, before it
    expected_s: float = 0.0  # as long as the last one took; 0: that is not known
    changed: datetime | None = None
    frames: list[pl.DataFrame] = field(default_factory=list)
    error: RuleAbortedError | RuleResultError | None = None
    took_s: float = 0.0
    ended_s: float = 0.0  # monotonic
    told: bool = False  # handed to the writer, whose transaction is not committed yet
    counted: bool = False  # how it ended is known to what lasts longer than a transaction

    @property
    def complete(self) -> bool:
        """Every window was looked at."""
        return len(self.frames) == len(self.windows)


class Aside:
    """Does looks one after the other, those that were asked for together by how long they take.

    All but the looks themselves is the writer's thread.
    """

    def __init__(self, store: Store, clock: Clock, *, within_s: float) -> None:
        self._store = store
        self._clock = clock
        self._within_s = within_s
        self._pool = ThreadPoolExecutor(1, "look-aside", initializer=_step_back)
        self._asked: dict[str, Look] = {}  # in the transaction at hand
        self._begun: dict[str, tuple[Look, Future[None]]] = {}
        self._going: set[Future[None]] = set()  # forgotten ones too
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._kept = Kept(store)
        self._moved = False  # what the transaction at hand changed of what was counted is known
        self._closed = False
        self._storing_s = 0.0  # how long the last transaction took that stored looks

    def __contains__(self, rule_id: str) -> bool:
        """Whether a look of it is asked for, on its way, or not stored yet."""
        return rule_id in self._asked or rule_id in self._begun

    @property
    def pending(self) -> int:
        """Looks that are asked for, on their way, or not stored yet."""
        return len(self._asked.keys() | self._begun.keys())

    @property
    def on_their_way(self) -> bool:
        """Whether any look is asked for or begun that the transaction at hand does not store."""
        return bool(self._asked) or any(not look.told for look, _ in self._begun.values())

    def moved(self, counted_since: datetime | None) -> None:
        """The transaction at hand changed counts from here on; to be said before ``begin``, which knows of facts too.

        Where nobody says it, whatever ``begin`` is told counts.
        """
        self._kept.moved(counted_since)
        self._moved = True

    def begin(self, changed_since: datetime | None) -> None:
        """A transaction begins to be looked at, perhaps for the second time; what it changed."""
        self._asked.clear()
        if not self._moved:
            self._kept.moved(changed_since)
        self._moved = False
        for look, _ in self._begun.values():
            look.told = False  # by a transaction that was rolled back
            if changed_since is not None:
                look.changed = min(changed_since, look.changed or changed_since)

    def ask(self, look: Look) -> None:
        """Look once the transaction at hand is committed."""
        self._asked[look.rule.rule_id] = look

    def ended(self) -> list[Look]:
        """Looks that are to be stored in the transaction at hand: all that ended, once none waits for others."""
        ended = [(look, future) for look, future in self._begun.values() if future.done()]
        waited_s = self._clock.monotonic() - min((look.ended_s for look, _ in ended), default=0.0)
        if len(ended) < len(self._begun) and waited_s < max(GATHER_S, GATHER_TIMES * self._storing_s):
            return []
        for look, future in ended:
            future.result()  # what no look may end with is raised here
            look.told = True
        return [look for look, _ in ended]

    def stored(self, seconds: float) -> None:
        """How long the transaction at hand took to look, store and judge."""
        if any(look.told for look, _ in self._begun.values()):
            self._storing_s = seconds

    def committed(self) -> None:
        """The transaction at hand is: begin what it asked for, forget what it stored."""
        self._kept.settled()
        self._begun = {rule_id: item for rule_id, item in self._begun.items() if not item[0].told}
        # The quick ones first: what they find waits for nobody, and those that take long for little.
        for look in sorted(self._asked.values(), key=lambda one: one.expected_s):
            rule_id = look.rule.rule_id
            future = self._pool.submit(self._run, look)
            self._begun[rule_id] = look, future
            self._going.add(future)
            future.add_done_callback(self._going.discard)
        self._asked.clear()

    def forget(self, rule_id: str | None = None) -> None:
        """Nothing is to come of a look that was asked for before, of this rule or of any."""
        for known in [rule_id] if rule_id is not None else [*self._asked, *self._begun]:
            self._asked.pop(known, None)
            item = self._begun.pop(known, None)
            if item is not None:
                item[1].cancel()

    def wait(self) -> None:
        """Until whatever began has ended: for tests and benchmarks."""
        wait(list(self._going))

    def close(self) -> None:
        """End what is on its way, and the thread."""
        self._closed = True
        self.forget()
        # Again and again: an interrupt between two steps of a query is lost.
        while wait(list(self._going), timeout=0.05).not_done:
            cursor = self._cursor
            if cursor is not None:
                with suppress(duckdb.Error):  # it has just been closed
                    cursor.interrupt()
        self._pool.shutdown()
        self._kept.close()

    def _run(self, look: Look) -> None:
        try:
            cursor = self._kept.connection()
        except StoreError:
            return  # it is being opened again
        self._cursor = cursor
        begun_s = self._clock.monotonic()
        try:
            with self._store.readers.entered(cursor):
                self._look(look, cursor)
        except QueryError:
            pass  # the writer has the memory to itself just now
        finally:
            look.ended_s = self._clock.monotonic()
            look.took_s = look.ended_s - begun_s
            self._cursor = None
            with suppress(duckdb.Error):  # there is none, or the writer has closed the connection
                cursor.execute("rollback")
            self._kept.done()

    def _look(self, look: Look, cursor: duckdb.DuckDBPyConnection) -> None:
        try:
            blocks = [self._kept.prepare(look.rule, window) for window in look.windows]
            cursor.execute("begin transaction read only")  # all windows of one state
            cursor.execute("select version from schema_version limit 1")
            for window, block in zip(look.windows, blocks, strict=True):
                if self._closed:
                    return
                self._kept.use(look.rule, block)
                look.frames.append(evaluate(cursor, look.rule, window.since, window.until, within_s=self._within_s))
        except (RuleAbortedError, RuleResultError) as error:
            if not self._closed and not self._store.readers.was_sent_away(cursor):
                look.error = error
        except duckdb.Error:
            return  # no transaction could be begun: the store says so to its writer


def _step_back() -> None:
    """The thread at hand takes the processor behind others: those that bring events and tell alerts have to be quick.

    Linux knows a niceness of threads; elsewhere looks share alike. DuckDB's other threads help with any query and stay
    as they are.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)
