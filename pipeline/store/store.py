"""The store's door: opens, brings up to date, hands out one transaction at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import duckdb

from pipeline.clock import Clock
from pipeline.config import Place, StoreSettings
from pipeline.errors import StoreError, StoreLockedError, StoreVersionError
from pipeline.store.connection import explained, interruptible
from pipeline.store.database import Database, database_at
from pipeline.store.migrate import check_version, migrate, migrations, stored_version
from pipeline.store.readers import Readers
from pipeline.store.transaction import Transaction


class Store:
    """An open store. The writer is one thread; other threads read through ``query.run_query`` on the same object."""

    _open: ClassVar[set[Path]] = set()
    _open_guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        database: Database,
        settings: StoreSettings,
        clock: Clock,
        *,
        read_only: bool,
    ) -> None:
        self.connection = connection
        self.place = database.place
        self._database = database
        self.settings = settings
        self.clock = clock
        self.read_only = read_only
        self.readers = Readers(clock)
        self._in_transaction = False
        self._readers = database.cursor(connection)  # what readers' cursors are made from: the writer's is busy

    @classmethod
    def open(cls, place: Place | None, settings: StoreSettings, *, clock: Clock, read_only: bool = False) -> Store:
        """Open a file or a DuckLake, made and migrated as needed; None: a store in memory that goes with the object.

        Raises:
            StoreLockedError: another process, or this one, has it open.
            StoreVersionError: a newer version wrote it; or it is older and opened for reading only.
            StoreError: it cannot be opened; the message says why.
        """
        database = database_at(place)
        with cls._open_guard:
            if database.key is not None and database.key in cls._open:
                raise StoreLockedError(f"{place}: open in this process already", next_step="close it first")
            connection = _prepared(database, settings, clock, read_only=read_only)
            if database.key is not None:
                cls._open.add(database.key)
        return cls(connection, database, settings, clock, read_only=read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it. May be called twice."""
        self.readers.let_go()
        self._readers.close()
        self.connection.close()
        self._database.close()
        if self._database.key is not None:
            with self._open_guard:
                self._open.discard(self._database.key)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction: committed when the block ends, rolled back when anything leaves it by an exception.

        The writer's thread only; not nested. What an earlier failure left behind is put right first: a disk that was
        full may leave DuckDB refusing everything until the file is opened again.

        Raises:
            StoreLockedError: another process is the writer by now; this one can only end.
            StoreError: the disk is full, memory is short, or the file is damaged. Nothing of the block was kept, and
                the next transaction may be tried whenever the caller likes.
        """
        if self.read_only:
            raise StoreError("the store is open for reading only", next_step="stop what else has it open, then write")
        assert not self._in_transaction, "transactions do not nest"
        self._in_transaction = True
        try:
            with interruptible():
                self._begin()
                try:
                    self._database.begun(self.connection)
                    yield Transaction(self.connection, self.clock.now())
                except BaseException:
                    self._roll_back()
                    raise
                self._commit()
        except duckdb.Error as error:
            if not self._database.failed(error):
                raise
            raise self._explained(error) from error
        finally:
            self._in_transaction = False

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer's own connection, to look at what is committed. The writer's thread only, between transactions.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            yield self.connection
        except duckdb.Error as error:
            raise self._explained(error) from error

    def reader(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own for reading, for any thread; the caller closes it.

        Raises:
            StoreError: the file is being opened again after a failure.
        """
        try:
            return self._database.cursor(self._readers)
        except duckdb.Error as error:
            raise explained(error, self.place) from error

    def checkpoint(self) -> bool:
        """Write a file's log into it, or do a piece of a DuckLake's upkeep; true: there is more of it.

        For quiet moments: it may take a second.

        Raises:
            StoreError: the disk is full; all that was committed is still there.
        """
        try:
            return self._database.tidy(self.connection)
        except duckdb.Error as error:
            raise explained(error, self.place) from error

    def size_bytes(self) -> int:
        """Size of all that is stored; 0 in memory.

        Raises:
            StoreError: it cannot be read.
        """
        with self.reading() as connection:
            return self._database.size_bytes(connection)

    def log_bytes(self) -> int:
        """Size of the log that the next checkpoint writes into the file; what is in it is in memory too."""
        return self._database.log_bytes()

    def _begin(self) -> None:
        try:
            self.connection.execute("begin transaction")
        except duckdb.TransactionException:  # memory was so short that the last one could not even be rolled back
            self.connection.execute("rollback")
        except (duckdb.FatalException, duckdb.ConnectionException):
            self._reopen()
        else:
            return
        self.connection.execute("begin transaction")

    def _reopen(self) -> None:
        """Open it again, with all that was committed. Fails while a reader still holds the old instance of a file."""
        if self.place is None:
            raise StoreError("the store in memory is damaged", next_step="start again")
        self.readers.let_go()
        self._readers.close()
        self.connection.close()
        self.connection = _prepared(self._database, self.settings, self.clock, read_only=False)
        self._readers = self._database.cursor(self.connection)

    def _commit(self) -> None:
        try:
            self.connection.execute("commit")
        except duckdb.Error as error:
            self._roll_back()
            raise self._explained(error) from error

    def _roll_back(self) -> None:
        # A failed commit has rolled back by itself; where even this fails, the next transaction puts it right. What led
        # here is raised on and says what it was.
        with suppress(duckdb.Error):
            self.connection.execute("rollback")

    def _explained(self, error: duckdb.Error) -> StoreError:
        found = explained(error, self.place)
        if "out of memory" in found.message:
            self.readers.send_away()
        return found


def _prepared(
    database: Database, settings: StoreSettings, clock: Clock, *, read_only: bool
) -> duckdb.DuckDBPyConnection:
    """A connection to the database, migrated and locked.

    Raises:
        StoreError: as ``Store.open``; it is closed again.
    """
    connection = database.connect(settings, read_only=read_only)
    try:
        _prepare(connection, database, clock, read_only=read_only)
    except BaseException as error:
        connection.close()
        database.close()
        if isinstance(error, duckdb.Error):
            raise explained(error, database.place) from error
        raise
    return connection


def _prepare(connection: duckdb.DuckDBPyConnection, database: Database, clock: Clock, *, read_only: bool) -> None:
    place = str(database.place) if database.place else "the store in memory"
    if read_only:
        version, known = stored_version(connection), len(migrations())
        check_version(version, known, place)
        if version < known:
            raise StoreVersionError(
                f"{place}: of an older version ({version}, this one has {known}), and opened for reading only",
                next_step="stillwatch store migrate, after a backup; serve does it by itself",
            )
    else:
        migrate(connection, now=clock.now(), place=place)
        database.claim(connection)
    database.lock(connection)
