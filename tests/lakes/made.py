"""Fresh DuckLakes for tests: the first of a kind is made and migrated, the others are copies of it."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.clock import Clock
from pipeline.config import Lake, Place, StoreSettings
from pipeline.store import Store
from tests.lakes.server import PostgresServer, programs

KINDS = ("sqlite", "postgres")
_TEMPLATE = "template_lake"
_MOVED = "update ducklake_metadata set value = '{}' where key = 'data_path'"


def missing(kind: str) -> str | None:
    """Why no lake of a kind can be made here, or None."""
    return "Postgres is not installed" if kind == "postgres" and programs() is None else None


def need(kind: str) -> None:
    """Skip, and in CI fail, where no lake of a kind can be made."""
    reason = missing(kind)
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI tests lakes in Postgres, but {reason}", pytrace=False)
        pytest.skip(f"no lake in Postgres: {reason}")


@dataclass
class Lakes:
    """Makes lakes of a kind in a directory of its own, until ``close``."""

    kind: str
    directory: Path
    server: PostgresServer | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _made: bool = False

    def place(self, name: str) -> Lake:
        """Where a lake of a name is, made or not."""
        if self.kind == "sqlite":
            return Lake("sqlite", str(self.directory / f"{name}.sqlite"))
        return Lake("postgres", self.running().connection(name))

    def running(self) -> PostgresServer:
        """The server, started when it is first needed."""
        if self.server is None:
            self.server = PostgresServer()
            self.server.start()
        return self.server

    def data(self, name: str) -> Path:
        """Where its data files are."""
        return self.directory / f"{name}.data"

    def fresh(self, settings: StoreSettings, clock: Clock) -> tuple[Lake, StoreSettings]:
        """A lake that is migrated and empty, and the settings to open it with."""
        name = f"lake_{next(self._numbers)}"
        if not self._made:
            self._made = True
            self.empty(_TEMPLATE)
            own = settings.model_copy(update={"data_path": self.data(_TEMPLATE)})
            Store.open(self.place(_TEMPLATE), own, clock=clock).close()
        moved = _MOVED.format(f"{self.data(name)}/")
        if self.kind == "sqlite":
            copy = Path(self.place(name).catalog)
            shutil.copy(self.place(_TEMPLATE).catalog, copy)
            connection = sqlite3.connect(copy)
            connection.execute(moved)
            connection.commit()
            connection.close()
        else:
            self.running().execute(f"create database {name} template {_TEMPLATE}")
            self.running().execute(moved, name)
        if self.data(_TEMPLATE).is_dir():
            shutil.copytree(self.data(_TEMPLATE), self.data(name))
        return self.place(name), settings.model_copy(update={"data_path": self.data(name)})

    def empty(self, name: str) -> Lake:
        """A place where a lake can be made."""
        if self.kind == "postgres":
            self.running().execute(f"create database {name}")
        return self.place(name)

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.remove()
            self.server = None


@contextmanager
def in_place_of_memory(lakes: Lakes) -> Iterator[None]:
    """While the block runs, a store in memory is a fresh lake: what is tested there is tested of a lake."""
    opened = Store.open

    def open_lake(
        place: Place | None, settings: StoreSettings, *, clock: Clock, read_only: bool = False, **_: Any
    ) -> Store:
        if place is None:
            place, settings = lakes.fresh(settings, clock)
        return opened(place, settings, clock=clock, read_only=read_only)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "open", open_lake)
        yield


@contextmanager
def sessions_ended(server: PostgresServer) -> Iterator[None]:
    """After the block every session of the server but our own is cut, as when it is started again."""
    yield
    with psycopg.connect(server.connection("postgres"), autocommit=True) as session:
        session.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
