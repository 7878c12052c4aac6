"""The queries that run now: so that the writer can send them away when it needs what they hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import duckdb

from pipeline.clock import Clock
from pipeline.errors import QueryError

HOLD_S: Final = 10.0


@dataclass(slots=True)
class Readers:
    """Queries enter and leave from any thread; ``send_away`` is the writer's.

    DuckDB's limit of memory is one for the whole instance: a query that fills it would keep the writer out for as long
    as somebody asks it again. So the writer has the memory to itself for HOLD_S after it was short of it.
    """

    clock: Clock
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _running: set[duckdb.DuckDBPyConnection] = field(default_factory=set)
    _sent_away: set[duckdb.DuckDBPyConnection] = field(default_factory=set)
    _staying: set[duckdb.DuckDBPyConnection] = field(default_factory=set)
    _closed_until_s: float = float("-inf")

    @contextmanager
    def entered(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """While the block runs, the query of ``cursor`` can be sent away.

        Raises:
            QueryError: the writer has the room to itself just now.
        """
        with self._guard:
            if self.clock.monotonic() < self._closed_until_s:
                raise sent_away()
            self._running.add(cursor)
        try:
            yield
        finally:
            with self._guard:
                self._running.discard(cursor)
                self._sent_away.discard(cursor)

    def was_sent_away(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Whether it was the writer who ended the query of ``cursor``; asked inside the block."""
        with self._guard:
            return cursor in self._sent_away

    def stay(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """A connection stays open between its queries, with what it keeps, until it leaves or the writer wants that."""
        with self._guard:
            self._staying.add(cursor)

    def stays(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Whether it may; else whoever has it closes it, if it is not closed yet."""
        with self._guard:
            return cursor in self._staying

    def leaves(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """It is closed by whoever has it."""
        with self._guard:
            self._staying.discard(cursor)

    def let_go(self) -> None:
        """Close connections that stay; one whose query runs is closed by whoever has it, when that has ended."""
        with self._guard:
            for cursor in self._staying - self._running:
                cursor.close()
            self._staying.clear()

    def send_away(self) -> None:
        """Interrupt what runs and let nothing in for HOLD_S; what is kept between queries goes."""
        self.let_go()
        with self._guard:
            self._closed_until_s = self.clock.monotonic() + HOLD_S
            self._sent_away |= self._running
            for cursor in self._running:
                cursor.interrupt()


def sent_away() -> QueryError:
    """What such a query is told."""
    return QueryError(
        "the query was stopped: the writer needs the memory",
        next_step="aggregate or filter earlier; try again in a moment",
    )
