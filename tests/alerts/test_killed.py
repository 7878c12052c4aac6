"""Killed between evaluate, commit, send and mark: a receiver that remembers ids has what an undisturbed one has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr

from pipeline.delivery.receiver import Receiver
from tests.alerts.made import SECRET

Told = dict[str, Any]


def run(store: Path, url: str, fault: str | None = None) -> int:
    environ = {key: value for key, value in os.environ.items() if key != "STILLWATCH_FAULT"}
    environ |= {"STILLWATCH_FAULT": fault} if fault else {}
    command = [sys.executable, "-m", "tests.alerts.killed", str(store), url]
    return subprocess.run(command, env=environ, check=False, timeout=120).returncode


def received(receiver: Receiver) -> list[tuple[str, Told]]:
    """Id and body of each message, in the order in which they came."""
    return [(message.message_id, json.loads(message.body)) for message in receiver.messages]


def stored(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        return {
            table: connection.execute(f"select * from {table} order by all").fetchall()
            for table in ("alert", "alert_event")
        } | {"outbox": connection.execute("select message_id, endpoint, state from outbox order by all").fetchall()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[tuple[str, Told]], dict[str, Any]]]:
    store = tmp_path_factory.mktemp("undisturbed") / "store.duckdb"
    with Receiver(SecretStr(SECRET)) as receiver:
        assert run(store, receiver.url) == 0
        yield received(receiver), stored(store)


def test_it_opens_grows_and_ends(undisturbed: tuple[list[tuple[str, Told]], dict[str, Any]]) -> None:
    got, _ = undisturbed
    assert [body["type"] for _, body in got] == ["alert.opened", "alert.updated", "alert.resolved"]
    assert len({body["data"]["alert_id"] for _, body in got}) == 1


# The writer's turns: evidence, what was sent is marked, more evidence, marked, quiet, marked.
@pytest.mark.parametrize(
    ("fault", "twice"),
    [
        ("serve.evaluated:1", 0),
        ("serve.evaluated:2", 1),
        ("serve.committed:2", 0),
        ("serve.committed:3", 0),
        ("serve.sent:3", 1),
    ],
)
def test_killed_anywhere_nothing_is_lost_and_nothing_told_twice(
    tmp_path: Path, undisturbed: tuple[list[tuple[str, Told]], dict[str, Any]], fault: str, twice: int
) -> None:
    store = tmp_path / "store.duckdb"
    with Receiver(SecretStr(SECRET)) as receiver:
        assert run(store, receiver.url, fault) == -signal.SIGKILL
        assert run(store, receiver.url) == 0
        got = received(receiver)
    once = list(dict(got).items())
    expected, rows = undisturbed
    assert once == expected
    assert all(body == dict(once)[message] for message, body in got)  # sent again: the same to the letter
    assert len(got) - len(once) == twice
    assert {table: strip(rows) for table, rows in stored(store).items()} == {
        table: strip(found) for table, found in rows.items()
    }


def strip(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without the endpoint's name, which is made of the receiver's port."""
    return [tuple(value for value in row if not str(value).startswith("end_")) for row in rows]
