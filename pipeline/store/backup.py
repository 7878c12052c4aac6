"""Backups: a consistent copy while the store is written, checked by its sums, and put back as a small new file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from pipeline import __version__
from pipeline.clock import Clock, SystemClock
from pipeline.config import Lake, Place, StoreSettings
from pipeline.errors import InputNotFoundError, StoreError
from pipeline.store.connection import check_magic, explained
from pipeline.store.migrate import check_version, migrate, migrations, stored_version, write_views
from pipeline.store.store import Store
from pipeline.store.verify import Verified, verify_file, verify_lake

FILE: Final = "store.duckdb"
MANIFEST: Final = "manifest.json"

# In a process of its own: closing a file that DuckDB has open would, by POSIX, drop the lock that keeps others out.
_COPY: Final = """
import hashlib, os, sys
total = hashlib.sha256()
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "xb") as target:
    while piece := source.read(1 << 20):
        total.update(piece)
        target.write(piece)
    target.flush()
    os.fsync(target.fileno())
print(total.hexdigest())
"""
_SUM: Final = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says about itself."""

    stillwatch: str
    store_version: int
    created_at: datetime
    sha256: dict[str, str]  # by file name


def backup(store: Store, target: Path) -> Manifest:
    """Copy an open store into a new directory. The writer's thread, between transactions; readers go on.

    Raises:
        StoreError: the target is there already, the store is in memory, or the disk is full; nothing is left behind.
    """
    path = store.place
    if isinstance(path, Lake):
        raise StoreError(
            f"{path}: a DuckLake is not one file to copy",
            next_step="copy its catalogue (pg_dump; of SQLite its file), then its data directory: docs/ducklake.md",
        )
    if path is None:
        raise StoreError("a store in memory has no file to copy", next_step="name a file by --store")
    partial = _begin(target)
    try:
        if not store.read_only:
            store.checkpoint()
        partial.mkdir(parents=True)
        sums = {FILE: _run(_COPY, path, partial / FILE)}
        log = path.with_name(path.name + ".wal")
        if log.exists():  # what a long reader kept from going into the file
            sums[FILE + ".wal"] = _run(_COPY, log, partial / f"{FILE}.wal")
        manifest = Manifest(__version__, stored_version(store.connection), store.clock.now(), sums)
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        partial.rename(target)
    except OSError as error:
        raise StoreError(
            f"{target}: {error.strerror or error}", next_step="make room, or name another place"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def restore(source: Path, target: Place, *, clock: Clock | None = None) -> None:
    """Make a store at ``target`` from a backup (or from a store that nobody has open), without the space it lost.

    It has the version of the backup, and is migrated when it is first opened.

    Raises:
        InputNotFoundError: no backup there.
        StoreVersionError: it is of a newer version.
        StoreError: the target is there already, the backup is damaged, or the disk is full; nothing is left behind.
    """
    if isinstance(target, Lake):
        raise StoreError(
            f"{target}: a backup of a file does not become a DuckLake",
            next_step="restore it into a file; a DuckLake comes back by its catalogue and data: docs/ducklake.md",
        )
    file = _checked_file(source)
    if not target.parent.is_dir():
        raise StoreError(f"{target.parent}: no such directory", next_step=f"mkdir -p {target.parent}")
    partial = _begin(target)
    log = partial.with_name(partial.name + ".wal")
    try:
        with duckdb.connect(str(partial)) as connection:
            connection.execute("set timezone = 'UTC'")
            _copy_rows(connection, file, (clock or SystemClock()).now())
        partial.rename(target)
    except duckdb.Error as error:
        raise explained(error, source) from error
    except OSError as error:
        raise StoreError(
            f"{target}: {error.strerror or error}", next_step="make room, or name another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
        log.unlink(missing_ok=True)


def verify(path: Place, settings: StoreSettings) -> Verified:
    """Check a backup or a store that nobody has open: sums of the files, every block, and that the counts agree.

    Of a DuckLake every data file is read, while others may write it.

    Raises:
        InputNotFoundError: nothing there.
        StoreError: something is wrong; all that is wrong is in the message.
    """
    return verify_lake(path, settings) if isinstance(path, Lake) else verify_file(_checked_file(path))


def _begin(target: Path) -> Path:
    if target.exists():
        raise StoreError(f"{target} is there already", next_step="name a path that is not there yet")
    return target.with_name(f"{target.name}.{os.getpid()}.partial")


def _checked_file(source: Path) -> Path:
    if source.is_file():
        check_magic(source)
        return source
    if not (source / MANIFEST).is_file():
        raise InputNotFoundError(f"{source}: no backup and no store", next_step="name what `store backup` wrote")
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise StoreError(f"{source / MANIFEST}: damaged ({error})", next_step="use another backup") from error
    check_version(manifest.store_version, len(migrations()), str(source))
    for name, expected in manifest.sha256.items():
        file = source / Path(name).name
        if not file.is_file() or _run(_SUM, file) != expected:
            raise StoreError(f"{file}: damaged since it was written", next_step="use another backup")
    return source / FILE


def _copy_rows(connection: duckdb.DuckDBPyConnection, file: Path, now: datetime) -> None:
    quoted = str(file).replace("'", "''")
    connection.execute(f"attach '{quoted}' as backup (read_only)")
    version = connection.execute("select max(version) from backup.main.schema_version").fetchone()
    known = len(migrations())
    stored = int(version[0]) if version else 0
    check_version(stored, known, str(file))
    migrate(connection, now=now, place=str(file), up_to=stored)
    tables = connection.execute(
        "select table_name from duckdb_tables() where database_name = 'backup' and not temporary"
    ).fetchall()
    connection.execute("begin transaction")
    for (table,) in tables:
        connection.execute(f'delete from "{table}"')  # noqa: S608 - a name from the catalogue
        connection.execute(f'insert into "{table}" by name select * from backup.main."{table}"')  # noqa: S608
    connection.execute("delete from meta where key = 'views'")
    connection.execute("commit")
    connection.execute("detach backup")
    if stored == known:  # else they are made by the migration, when it is first opened for writing
        write_views(connection)
    connection.execute("checkpoint")


def _run(script: str, *arguments: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        raise StoreError(f"{arguments[-1]}: {reason}", next_step="make room, or name another place")
    return done.stdout.strip()
