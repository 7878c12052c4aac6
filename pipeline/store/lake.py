"""A store in a DuckLake: its catalogue in Postgres or SQLite, its data in Parquet files, read by many, written by one.

Who writes holds a lock that goes with its process: of Postgres an advisory lock of a session of its own, of SQLite a
lock on a file beside it. That keeps a second writer out. It does not keep out one whose lock was lost while it lives (a
Postgres that was started again): so each writer leaves its mark in the store, every transaction reads it, and no commit
is tried again. A commit after another one than the transaction saw fails, so no writer adds to what it does not know.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
import uuid
from pathlib import Path
from typing import Final

import duckdb

from pipeline.config import Lake, Place, StoreSettings, beside
from pipeline.errors import StoreError, StoreLockedError
from pipeline.store.connection import explained, limits
from pipeline.store.database import OF_THE_STORE
from pipeline.store.writer_lock import WriterLock, lock_for

NAME: Final = "lake"  # of the catalogue in a connection
# Up to so many rows of a statement stay in the catalogue until they are flushed, instead of in a Parquet file of their
# own: with a limit of 2,000 folding took ten times as long. None in SQLite: a reader's transaction there misses what is
# flushed meanwhile (docs/decisions/0023-ducklake.md).
INLINED_ROWS: Final = {"postgres": 100, "sqlite": 0}
# A reader's files stay for so long after they were replaced: longer than a question may take.
KEPT_FOR: Final = "10 minutes"
ORPHANS_KEPT_FOR: Final = "1 day"  # files of a writer that was killed before its commit
FEW_FILES: Final = 8  # of a table; fewer are not worth a rewrite
LARGE_FILE_BYTES: Final = 64 << 20  # is not merged any more
DELETED_SHARE: Final = 0.3  # of a file's rows, from which on it is written anew

_MARK: Final = "writer"
_OF_THE_LAKE: Final = re.compile(r"DuckLake|Postgres|database is locked|connection to server|server closed")
_EXTENSIONS: Final = {"postgres": ("ducklake", "postgres_scanner"), "sqlite": ("ducklake", "sqlite_scanner")}


class DuckLake:
    """A DuckLake attached to a DuckDB in memory, whose tables are found by their bare names."""

    def __init__(self, lake: Lake) -> None:
        self.place: Place | None = lake
        self.key: Path | None = None  # the writer's lock tells a second one, in this process too
        self._lake = lake
        self._mark = uuid.uuid4().hex
        self._lock: WriterLock | None = None
        self._to_tidy: list[str] = []

    def connect(self, settings: StoreSettings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Attach it; made where it is missing, unless it is only read.

        Raises:
            StoreLockedError: another process writes it.
            StoreError: an extension is not installed, the catalogue or the data files cannot be reached.
        """
        lake = self._lake
        files = [_extension(lake, name) for name in _EXTENSIONS[lake.kind]]
        if lake.kind == "sqlite":
            _check_directory(Path(lake.catalog), read_only=read_only)
        if not read_only and self._lock is None:
            self._lock = lock_for(lake, settings.catalog_password)
        spill = Path(tempfile.gettempdir()) / f"stillwatch-{os.getpid()}" if read_only else beside(lake)
        try:
            connection = duckdb.connect(
                ":memory:", config=limits(settings, settings.threads, f"{spill}.tmp", read_only)
            )
            try:
                for file in files:
                    connection.execute(f"load '{_quoted(file)}'")
                self._attach(connection, settings, read_only=read_only)
            except BaseException:
                connection.close()
                raise
        except BaseException as error:
            self.close()
            if isinstance(error, duckdb.Error):
                raise explained(error, lake) from error
            raise
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection, settings: StoreSettings, *, read_only: bool) -> None:
        lake = self._lake
        if settings.catalog_password is not None and lake.kind == "postgres":
            # What DuckDB shows of a secret is redacted; in the catalogue's name it would stand in every error.
            password = _quoted(settings.catalog_password.get_secret_value())
            connection.execute(f"create secret (type postgres, password '{password}')")
        options = [f"data_inlining_row_limit {INLINED_ROWS[lake.kind]}"]
        wanted = None if settings.data_path is None else settings.data_path.resolve()
        made = wanted or (None if read_only else _beside_a_new(lake))
        if made is not None:
            options.append(f"data_path '{_quoted(made)}/'")
        if read_only:
            options.append("read_only")
            if wanted is not None:
                options.append("override_data_path true")  # the same directory may have another path on this machine
        if lake.kind == "sqlite":
            # A reader would keep the writer out, and the other way round, with any other journal.
            options += ["meta_journal_mode 'WAL'", "meta_busy_timeout 5000"]
        connection.execute(f"attach '{_quoted(lake)}' as {NAME} ({', '.join(options)})")
        connection.execute(f"use {NAME}")
        connection.execute("set global timezone = 'UTC'")
        connection.execute("set global ducklake_max_retry_count = 0")
        connection.execute(
            "set global allowed_directories = $directories", {"directories": [_data(connection, wanted)]}
        )

    def claim(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Leave this writer's mark."""
        connection.execute("begin transaction")
        connection.execute("delete from meta where key = $key", {"key": _MARK})
        connection.execute("insert into meta values ($key, $mark)", {"key": _MARK, "mark": self._mark})
        connection.execute("commit")

    def lock(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Only the data files from here on. DuckDB's functions for other databases are kept away by ``sandbox``."""
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")

    def cursor(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """One more connection; which catalogue is meant is each one's own."""
        cursor = connection.cursor()
        cursor.execute(f"use {NAME}")
        return cursor

    def begun(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Look for this writer's mark.

        Raises:
            StoreLockedError: another has left its own.
        """
        found = connection.execute("select value from meta where key = $key", {"key": _MARK}).fetchone()
        if found != (self._mark,):
            raise StoreLockedError(
                f"{self._lake}: another process has taken over writing it",
                next_step="let that one go on, or stop it and start this one again",
            )

    def failed(self, error: duckdb.Error) -> bool:
        """Told by its class or by its words: what DuckLake says of its catalogue has no class of its own."""
        return isinstance(error, OF_THE_STORE) or bool(_OF_THE_LAKE.search(str(error)))

    def tidy(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """A table at a time: rows out of the catalogue into a file, small files into larger. Then old states go."""
        if not self._to_tidy:
            self._to_tidy = [
                row[0]
                for row in connection.execute(
                    "select table_name from duckdb_tables() where database_name = $name order by table_name",
                    {"name": NAME},
                ).fetchall()
            ]
        table = self._to_tidy.pop()
        connection.execute(f"call ducklake_flush_inlined_data('{NAME}', table_name => '{table}')").fetchall()
        row = connection.execute(
            f"select file_count + delete_file_count from ducklake_table_info('{NAME}') "  # noqa: S608 - a literal
            "where table_name = $table",
            {"table": table},
        ).fetchone()
        if row and row[0] >= FEW_FILES:
            for call in (
                f"ducklake_rewrite_data_files('{NAME}', '{table}', delete_threshold => {DELETED_SHARE})",
                f"ducklake_merge_adjacent_files('{NAME}', '{table}', max_file_size => {LARGE_FILE_BYTES})",
            ):
                connection.execute(f"call {call}").fetchall()
        if self._to_tidy:
            return True
        for call in (
            f"ducklake_expire_snapshots('{NAME}', older_than => now() - interval '{KEPT_FOR}')",
            f"ducklake_cleanup_old_files('{NAME}', older_than => now() - interval '{KEPT_FOR}')",
            f"ducklake_delete_orphaned_files('{NAME}', older_than => now() - interval '{ORPHANS_KEPT_FOR}')",
        ):
            connection.execute(f"call {call}").fetchall()
        return False

    def size_bytes(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The data files of the present state, and an SQLite catalogue."""
        row = connection.execute(
            "select coalesce(sum(file_size_bytes + delete_file_size_bytes), 0)::bigint from ducklake_table_info($name)",
            {"name": NAME},
        ).fetchone()
        size = int(row[0]) if row else 0
        return size + (Path(self._lake.catalog).stat().st_size if self._lake.kind == "sqlite" else 0)

    def log_bytes(self) -> int:
        """There is none."""
        return 0

    def close(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _extension(lake: Lake, name: str) -> Path:
    """The file of a DuckDB extension, as its package brings it."""
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    places = (package.submodule_search_locations or ()) if package is not None else ()
    for place in places:
        file = Path(place) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if file.is_file():
            return file
    raise StoreError(
        f"{lake}: DuckDB's extension {name} for version {duckdb.__version__} is not installed",
        next_step="pip install 'stillwatch[ducklake]'",
    )


def _check_directory(catalog: Path, *, read_only: bool) -> None:
    if read_only and not catalog.is_file():
        raise StoreError(f"{catalog}: no DuckLake here", next_step="make one: stillwatch serve, or stillwatch analyze")
    if not catalog.absolute().parent.is_dir():
        raise StoreError(f"{catalog.parent}: no such directory", next_step=f"mkdir -p {catalog.parent}")


def _data(connection: duckdb.DuckDBPyConnection, wanted: Path | None) -> str:
    """The directory of the data files, which alone may be reached.

    Raises:
        StoreError: the lake does not say, and nobody else does.
    """
    row = connection.execute(
        f"select value from ducklake_options('{NAME}') where option_name = 'data_path'"  # noqa: S608 - a literal
    ).fetchone()
    found = str(wanted or (row and row[0]) or "")
    if not found.rstrip("/"):  # the root of all files would be allowed
        raise StoreError("a DuckLake without a directory for its data", next_step="set store.data_path")
    return f"{found.rstrip('/')}/"


def _beside_a_new(lake: Lake) -> Path | None:
    """Where the data of an SQLite lake go that is not there yet, unless somebody says otherwise."""
    catalog = Path(lake.catalog).resolve()
    if lake.kind != "sqlite" or (catalog.is_file() and catalog.stat().st_size):
        return None
    return catalog.with_name(f"{catalog.name}.data")


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")
