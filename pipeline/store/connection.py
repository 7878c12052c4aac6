"""Opens a DuckDB file as the store needs it, and says in words what stands in the way."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from pipeline.config import Place, StoreSettings
from pipeline.errors import StoreError, StoreLockedError, StoreVersionError

_LOCKED: Final = re.compile(r"Conflicting lock is held in (.*?) \(PID (\d+)\)")
MAX_TEMP_MB: Final = 8192
_INTERRUPTED: Final = "Query interrupted"  # what DuckDB makes of a KeyboardInterrupt that it meets inside a query


# DuckDB asks for pandas at each value of a list that it binds, twice. Where pandas is not installed, Python looks
# through its whole path for it each time: 10,000 ids took seconds. Said once that it is not there, they take a tenth.
if importlib.util.find_spec("pandas") is None:
    pa.scalar(0)  # pyarrow looks for it once, and would take what follows for a module
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]


@contextmanager
def interruptible() -> Iterator[None]:
    """A Ctrl-C that meets DuckDB inside a statement of the block is a KeyboardInterrupt, as it is anywhere else."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def connect(path: Path | None, settings: StoreSettings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open the file (None: in memory), with limits set and everything that SQL could reach outside it switched off.

    The settings are locked by ``lock`` once the store is set up. A limit of memory is the instance's: readers and
    the writer share ``memory_limit_mb``; a reader that opens the file alone has ``query_memory_mb``.

    Raises:
        StoreLockedError: another process has the file open.
        StoreVersionError: a newer DuckDB wrote it.
        StoreError: no such directory, no DuckDB file, damaged, no permission.
    """
    if path is not None:
        _check_place(path, read_only=read_only)
    # What is only in memory is small, cases of rules above all: a second thread would take a third more CPU there.
    config = limits(settings, 1 if path is None else settings.threads, "" if path is None else f"{path}.tmp", read_only)
    try:
        connection = duckdb.connect(str(path) if path else ":memory:", read_only=read_only, config=config)
    except duckdb.Error as error:
        raise explained(error, path) from error
    try:
        connection.execute("set global timezone = 'UTC'")
    except duckdb.Error as error:
        connection.close()
        raise explained(error, path) from error
    return connection


def limits(
    settings: StoreSettings, threads: int, temp_directory: str, read_only: bool
) -> dict[str, str | bool | int | float | list[str]]:
    """DuckDB's settings of an instance: what it may use, and that nothing is fetched or read unasked."""
    return {
        "threads": threads,
        "memory_limit": f"{settings.query_memory_mb if read_only else settings.memory_limit_mb}MiB",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        # Order is what queries ask for by `order by`; without it, inserts and scans use all threads and less memory.
        "preserve_insertion_order": "false",
        "wal_autocheckpoint": "1GiB",
        "temp_directory": temp_directory,
        "max_temp_directory_size": f"{MAX_TEMP_MB}MiB",
    }


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """No file, no network, no other setting from here on, for every connection to this instance."""
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _check_place(path: Path, *, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"{path}: a directory, not a store", next_step="name the file in it")
    if read_only and not path.is_file():
        raise StoreError(f"{path}: no store here", next_step="make one: stillwatch up, or stillwatch analyze --store P")
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such directory", next_step=f"mkdir -p {path.parent}")
    if path.is_file() and path.stat().st_size:
        check_magic(path)


def check_magic(path: Path) -> None:
    """Return when the file begins as DuckDB's do. Not on a file that this process has open: closing it drops the lock.

    DuckDB itself would take a .json or .csv for a table to be read, in a database in memory.

    Raises:
        StoreError: it does not, or may not be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(12)[8:]
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", next_step="run it as the user who owns the file") from error
    if magic != b"DUCK":
        raise StoreError(
            f"{path}: damaged, or no DuckDB file",
            next_step="name a store; stillwatch store restore BACKUP --store P makes one from a backup",
        )


# What DuckDB's text says → which error it is, what to do. The first that fits.
_MEANINGS: Final[tuple[tuple[str, type[StoreError], str, str], ...]] = (
    (
        r"newer.*version|version.*newer",
        StoreVersionError,
        "written by a newer DuckDB",
        "install the newer version again, or restore a backup",
    ),
    (
        r"No space left|File too large|Disk quota",
        StoreError,
        "the disk is full",
        "make room; nothing was lost, Kafka has it",
    ),
    (
        # A commit's error is of another class; "aborted" comes after a failure that was not told: only a DROP VIEW
        # without memory was ever seen to be one.
        r"Out of Memory|failed to (?:pin|allocate)|could not allocate|Current transaction is aborted",
        StoreError,
        "out of memory",
        "raise store.memory_limit_mb, or make room for its .tmp",
    ),
    (
        # Of a DuckLake's Postgres: libpq's own words.
        r"connect to Postgres|connection to server|server closed the conn|terminating conn|database system is",
        StoreError,
        "its Postgres cannot be used",
        "look at the server and at store.path; nothing was lost, Kafka has it",
    ),
    (
        r"Existing DuckLake at .* does not exist",
        StoreError,
        "no DuckLake there",
        "make one: stillwatch serve, or stillwatch analyze --store ducklake:…",
    ),
    (
        r"data_path is not set",
        StoreError,
        "where its data files go is not known",
        "set store.data_path to a directory that all readers see",
    ),
    (
        r"DATA_PATH parameter .* does not match",
        StoreError,
        "its data files are elsewhere",
        "set store.data_path to where they are, or leave it unset",
    ),
    (
        r"database is locked|Exceeded the maximum retry count",
        StoreError,
        "its catalogue was being written by another process",
        "it is tried again; a lake has one writer",
    ),
    (r"Permission denied", StoreError, "permission denied", "run it as the user who owns the file"),
    (
        r"not a valid DuckDB|[Cc]orrupt|[Cc]hecksum|[Dd]eserializ|Invalid Error: Failure while replaying WAL",
        StoreError,
        "damaged, or no DuckDB file",
        "stillwatch store restore BACKUP --store P",
    ),
)


def explained(error: duckdb.Error, path: Place | None) -> StoreError:
    """What a DuckDB error about the store as a whole means for a person."""
    text = str(error)
    first = text.splitlines()[0]
    place = str(path) if path else "the store in memory"
    locked = _LOCKED.search(text)
    if locked:
        return StoreLockedError(
            f"{place}: open in process {locked[2]} ({Path(locked[1]).name})",
            next_step="ask through it (stillwatch sql finds a running serve), or stop it first",
        )
    for pattern, kind, meaning, next_step in _MEANINGS:
        if re.search(pattern, text):
            return kind(f"{place}: {meaning} ({first})", next_step=next_step)
    return StoreError(f"{place}: {first}", next_step="stillwatch store verify says more")
