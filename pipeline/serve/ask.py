"""One way to ask a store: through the process that serves it, or the file itself where none does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.clock import SystemClock
from pipeline.config import StoreSettings
from pipeline.errors import InputNotFoundError
from pipeline.serve.client import ServeClient
from pipeline.serve.view import Answer

if TYPE_CHECKING:
    from pipeline.store import Store


class Asker(Protocol):
    """Runs analyst queries."""

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answer:
        """One query. Raises QueryError."""
        ...


@contextmanager
def asker(path: Path, settings: StoreSettings) -> Iterator[Asker]:
    """Whom to ask about the store at ``path``.

    Raises:
        InputNotFoundError: neither a serving process nor a file.
        StoreLockedError: another process than a serve has the file open.
    """
    client = ServeClient.find(path)
    if client is not None:
        with client:
            yield client
        return
    if not path.is_file():
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
        """One query, in the reader's sandbox."""
        from pipeline.store.query import run_query  # noqa: PLC0415

        found = run_query(
            self._store, sql, params=params or {}, timeout_s=timeout_s, max_rows=max_rows or self._settings.query_rows
        )
        return Answer(found.table, found.truncated)
