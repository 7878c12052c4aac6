"""One way to ask a store: through the process that serves it, or the file itself where none does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.clock import SystemClock
from pipeline.config import Lake, Place, StoreSettings, is_there
from pipeline.errors import InputNotFoundError, QueryError
from pipeline.serve.client import ServeClient
from pipeline.serve.view import LOOK_ROWS, Answer

if TYPE_CHECKING:
    from pipeline.rules.model import Rule
    from pipeline.store import Store
    from pipeline.store.query import Result


POLL_S: Final = 0.1  # how late Ctrl-C is noticed


class Asker(Protocol):
    """Runs analyst queries."""

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answer:
        """One query. Raises QueryError."""
        ...


class RuleAsker(Asker, Protocol):
    """Runs rules too."""

    def look(self, rule: Rule, since: datetime, until: datetime, *, explain: bool = False, timeout_s: float) -> Answer:
        """What a rule gives over ``[since, until)``, or its plan; nothing is written.

        Raises:
            QueryError: it fails or is too slow, or serve runs another text of it, or none.
        """
        ...


@contextmanager
def asker(path: Place, settings: StoreSettings) -> Iterator[RuleAsker]:
    """Whom to ask about the store at ``path``. A DuckLake is read here, also while serve writes it.

    Raises:
        InputNotFoundError: neither a serving process nor a file.
        StoreLockedError: another process than a serve has the file open.
    """
    client = None if isinstance(path, Lake) else ServeClient.find(path)
    if client is not None:
        with client:
            yield client
        return
    if not is_there(path):
        raise InputNotFoundError(
            f"{path}: no store here",
            next_step="name one by --store, or make one: stillwatch up, or stillwatch analyze FILE --store P",
        )
    from pipeline.store import Store  # noqa: PLC0415 - a client of serve needs no DuckDB

    with Store.open(path, settings, clock=SystemClock(), read_only=True) as store:
        yield FileAsker(store, settings)


class FileAsker:
    """Asks an open store in this process."""

    def __init__(self, store: Store, settings: StoreSettings) -> None:
        self._store = store
        self._settings = settings

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answer:
        """One query, in the reader's sandbox; ends within a second on KeyboardInterrupt, which it passes on."""
        from pipeline.store.query import run_query  # noqa: PLC0415

        rows = max_rows or self._settings.query_rows

        def run(cancelled: threading.Event) -> Result:
            return run_query(self._store, sql, params=params, timeout_s=timeout_s, max_rows=rows, cancelled=cancelled)

        return self._apart(run)

    def look(self, rule: Rule, since: datetime, until: datetime, *, explain: bool = False, timeout_s: float) -> Answer:
        """One look of a rule; ends within a second on KeyboardInterrupt, which it passes on."""
        from pipeline.store.query import run_rule  # noqa: PLC0415

        def run(cancelled: threading.Event) -> Result:
            try:
                return run_rule(
                    self._store,
                    f"explain {rule.sql}" if explain else rule.sql,
                    params={**rule.parameters, "since": since, "until": until},
                    timeout_s=timeout_s,
                    max_rows=LOOK_ROWS,
                    cancelled=cancelled,
                )
            except QueryError as error:
                step = "if it needs more: --timeout-s for time, store.query_memory_mb for memory"
                raise QueryError(error.message, next_step=step) from error

        return self._apart(run)

    def _apart(self, run: Callable[[threading.Event], Result]) -> Answer:
        cancelled = threading.Event()
        with ThreadPoolExecutor(1, "query") as apart:
            running = apart.submit(run, cancelled)
            try:
                # Not one wait without end: Polars takes SIGINT in a way (SA_RESTART) that does not wake such a wait.
                while not running.done():
                    wait([running], timeout=POLL_S)
            except KeyboardInterrupt:
                cancelled.set()
                raise
            found = running.result()
        return Answer(found.table, found.truncated)
