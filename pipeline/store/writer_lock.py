"""The lock of a DuckLake's one writer: it goes with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

from pydantic import SecretStr

from pipeline.config import Lake
from pipeline.errors import StoreError, StoreLockedError

# One for a Postgres database, which is one lake.
_KEY: Final = 0x5374_696C_6C77_6368
_HOLDER: Final = """
select pg_stat_activity.application_name, coalesce(host(pg_stat_activity.client_addr), 'this machine')
from pg_locks
inner join pg_stat_activity on pg_locks.pid = pg_stat_activity.pid
where pg_locks.locktype = 'advisory'
    and pg_locks.granted
    and pg_locks.database = (select oid from pg_database where datname = current_database())
    and (pg_locks.classid::bigint << 32 | pg_locks.objid::bigint) = %s
"""
# Postgres notices in a moment, not at once, that the process of a session is gone.
TRIES: Final = 20
TRY_EVERY_S: Final = 0.1
_NEXT_STEP: Final = "one serve writes a lake: stop that one first; readers need no leave (stillwatch sql)"


class WriterLock(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Let go of it. May be called twice."""
        ...


def lock_for(lake: Lake, password: SecretStr | None) -> WriterLock:
    """Hold the lock of a lake, or say who does; does not wait.

    Raises:
        StoreLockedError: another writer holds it.
        StoreError: Postgres cannot be reached, or what is needed to ask it is not installed.
    """
    return _FileLock(lake) if lake.kind == "sqlite" else _SessionLock(lake, password)


class _FileLock:
    """On a file beside the catalogue, which stays: whoever took it away could lock another one of that name."""

    def __init__(self, lake: Lake) -> None:
        catalog = Path(lake.catalog)
        path = catalog.with_name(catalog.name + ".writer")
        try:
            self._file: IO[str] = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}", next_step="run it as the user who owns the lake") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreLockedError(f"{lake}: written by process {holder}", next_step=_NEXT_STEP) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


class _SessionLock:
    """Of a Postgres session of its own, outside any transaction: an open one would keep Postgres from cleaning up."""

    def __init__(self, lake: Lake, password: SecretStr | None) -> None:
        try:
            import psycopg  # noqa: PLC0415 - needed for Postgres only
        except ImportError as error:  # psycopg's own, too, where there is no libpq
            raise StoreError(
                f"{lake}: psycopg, which keeps a second writer out, cannot be used ({str(error).splitlines()[0]})",
                next_step="pip install 'stillwatch[ducklake]'",
            ) from None
        try:
            self._session: psycopg.Connection[Any] = psycopg.connect(
                lake.catalog,
                autocommit=True,
                connect_timeout=10,
                application_name=f"stillwatch writer, process {os.getpid()}",
                password=None if password is None else password.get_secret_value(),
            )
        except psycopg.Error as error:
            raise StoreError(
                f"{lake}: its Postgres cannot be used ({str(error).splitlines()[0]})",
                next_step="look at the server, at store.path and at store.catalog_password",
            ) from None
        for _ in range(TRIES):
            if self._session.execute("select pg_try_advisory_lock(%s)", [_KEY]).fetchone() == (True,):
                return
            time.sleep(TRY_EVERY_S)
        holder = self._session.execute(_HOLDER, [_KEY]).fetchone() or ("another session", "an unknown machine")
        self._session.close()
        raise StoreLockedError(f"{lake}: written by {holder[0]}, from {holder[1]}", next_step=_NEXT_STEP)

    def release(self) -> None:
        from psycopg import Error  # noqa: PLC0415

        with suppress(Error):
            self._session.close()
