"""What a store is kept in, seen by ``Store``: the one place where a DuckDB file and a DuckLake differ."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import duckdb

from pipeline.config import Lake, Place, StoreSettings
from pipeline.store.connection import connect, explained, lock

# Failures of the store itself, not of the statement that met them. TransactionException: an earlier statement's failure
# was not told (Python's ``unregister`` keeps that of its DROP VIEW to itself).
OF_THE_STORE: Final = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.TransactionException,
)


class Database(Protocol):
    """A database that ``Store`` opens, writes in one thread, and closes. Every method may raise duckdb.Error."""

    place: Place | None  # None: in memory
    key: Path | None  # what no second opener in this process may have; None: that is told otherwise

    def connect(self, settings: StoreSettings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """A connection with limits set and the store's tables at hand; not locked yet. Raises StoreError."""
        ...

    def claim(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The tables are there: be the one that writes them."""
        ...

    def lock(self, connection: duckdb.DuckDBPyConnection) -> None:
        """No file but the store's own, no network, no other setting from here on."""
        ...

    def cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """One more connection to the same instance, with the store's tables at hand."""
        ...

    def begun(self, connection: duckdb.DuckDBPyConnection) -> None:
        """A transaction of the writer has begun. Raises StoreLockedError where another is the writer by now."""
        ...

    def failed(self, error: duckdb.Error) -> bool:
        """Whether an error is the store's, not the statement's that met it."""
        ...

    def tidy(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """A piece of upkeep, between transactions; true: there is more of it."""
        ...

    def size_bytes(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Size of all that is stored; 0 in memory."""
        ...

    def log_bytes(self) -> int:
        """Size of a log that ``tidy`` writes into the store; what is in it is in memory too."""
        ...

    def close(self) -> None:
        """Let others write. May be called twice."""
        ...


class DuckDBFile:
    """A DuckDB file, which DuckDB itself keeps other processes out of; or a database in memory."""

    def __init__(self, path: Path | None) -> None:
        self.place: Place | None = path
        self.key = path.resolve() if path is not None else None
        self._path = path

    def connect(self, settings: StoreSettings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Open the file."""
        return connect(self._path, settings, read_only=read_only)

    def claim(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Whoever has it open is the writer."""

    def lock(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Switch off what is outside."""
        lock(connection)

    def cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """One more connection."""
        return connection.cursor()

    def begun(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nobody else can be the writer."""

    def failed(self, error: duckdb.Error) -> bool:
        """Told by its class."""
        return isinstance(error, OF_THE_STORE)

    def tidy(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Write the log into the file."""
        try:
            connection.execute("checkpoint")
        except duckdb.TransactionException:
            pass  # a reader holds an older state: the next quiet moment will do
        except duckdb.Error as error:
            raise explained(error, self.place) from error
        return False

    def size_bytes(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The file and its log."""
        del connection
        return 0 if self._path is None else _size(self._path) + self.log_bytes()

    def log_bytes(self) -> int:
        """The log."""
        return 0 if self._path is None else _size(self._path.with_name(self._path.name + ".wal"))

    def close(self) -> None:
        """Nothing is held but the connection."""


def database_at(place: Place | None) -> Database:
    """What is at a place; nothing is opened yet."""
    if not isinstance(place, Lake):
        return DuckDBFile(place)
    from pipeline.store.lake import DuckLake  # noqa: PLC0415 - few have one

    return DuckLake(place)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
