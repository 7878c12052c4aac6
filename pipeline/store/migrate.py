"""Brings a database to this version: numbered files of ``sql/schema``, then the views of ``sql/views``."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from pipeline.errors import StoreError, StoreVersionError
from pipeline.resources import sql_dir
from pipeline.sql_text import view_texts, views_in_order

_NAME: Final = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``sql/schema``: applied once, in the order of its number."""

    version: int
    name: str
    sql: str


def migrations(directory: Path | None = None) -> list[Migration]:
    """All migrations, in order.

    Raises:
        StoreError: a number is missing or there twice; the installation is damaged.
    """
    found = []
    for path in sorted((directory or sql_dir("schema")).glob("*.sql")):
        match = _NAME.match(path.name)
        if match:
            found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [item.version for item in found] != list(range(1, len(found) + 1)):
        raise StoreError(
            f"sql/schema has migrations {[item.version for item in found]}; they must count up from 1",
            next_step="install the package again",
        )
    return found


def stored_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Version of a database; 0: empty."""
    tables = {
        row[0]
        for row in connection.execute(
            "select table_name from duckdb_tables() where database_name = current_database()"
        ).fetchall()
    }
    if "schema_version" not in tables:
        if tables:
            raise StoreError(
                f"this DuckDB file is no Stillwatch store; it has {', '.join(sorted(tables)[:5])}",
                next_step="name another file by --store or store.path",
            )
        return 0
    row = connection.execute("select coalesce(max(version), 0) from schema_version").fetchone()
    return int(row[0]) if row else 0


def check_version(version: int, known: int, place: str) -> None:
    """Refuse a store of a newer version.

    Raises:
        StoreVersionError: it is one.
    """
    if version > known:
        raise StoreVersionError(
            f"{place}: written by a newer Stillwatch (store version {version}, this one knows {known})",
            next_step="install that version again, or restore a backup",
        )


def migrate(
    connection: duckdb.DuckDBPyConnection, *, now: datetime, place: str, up_to: int | None = None
) -> list[Migration]:
    """Apply what is missing, each migration in its own transaction, then the views; return what was applied.

    Raises:
        StoreVersionError: the database is newer than this version.
        StoreError: it is no store, or a migration failed (and left nothing behind).
    """
    every = migrations()
    version = stored_version(connection)
    check_version(version, len(every), place)
    pending = every[version : len(every) if up_to is None else up_to]
    for migration in pending:
        _apply(connection, migration, now)
    if up_to is None:
        write_views(connection)
    return pending


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration, now: datetime) -> None:
    connection.execute("begin transaction")
    try:
        if migration.version == 1:
            connection.execute(
                "create table schema_version (version integer not null, name varchar not null, "
                "applied_at timestamptz not null)"
            )
            connection.execute("create table meta (key varchar not null, value varchar not null)")
        connection.execute(migration.sql)
        connection.execute(
            "insert into schema_version values ($version, $name, $now)",
            {"version": migration.version, "name": migration.name, "now": now},
        )
        connection.execute("commit")
    except duckdb.Error as error:
        connection.execute("rollback")
        raise StoreError(
            f"migration {migration.version:04} {migration.name} failed: {str(error).splitlines()[0]}",
            next_step="nothing of it was kept; report it with the version of the store",
        ) from error


def write_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros and views of this version, in place of others; nothing where they are there.

    Raises:
        StoreError: one cannot be made; all are as they were.
    """
    texts = view_texts()
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    stored = connection.execute("select value from meta where key = 'views'").fetchone()
    if stored and stored[0] == digest:
        return
    connection.execute("begin transaction")
    try:
        for name in _own(connection, "select view_name from duckdb_views() where not internal and not temporary"):
            connection.execute(f'drop view "{name}"')
        for text in views_in_order():
            connection.execute(text)
        connection.execute("delete from meta where key = 'views'")
        connection.execute("insert into meta values ('views', $digest)", {"digest": digest})
        connection.execute("commit")
    except duckdb.Error as error:
        connection.execute("rollback")
        raise StoreError(
            f"a view cannot be made: {str(error).splitlines()[0]}", next_step="install the package again"
        ) from error


def _own(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(sql).fetchall()]
