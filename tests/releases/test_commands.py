"""``stillwatch releases`` as a user sees it, through the file or through a serving process; every word is kept."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from pipeline.cli import run
from pipeline.cli.releases import parse_when
from pipeline.clock import ManualClock
from pipeline.config import ServeSettings, Settings, StoreSettings, beside
from pipeline.errors import UsageError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.http import HttpServer
from pipeline.serve.loop import _run_commands
from pipeline.serve.releases import Release, check_release
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command
from pipeline.store import Store
from pipeline.store.backup import backup, restore
from pipeline.store.releases import MAX_RELEASES
from pipeline.testing import START, Bench
from tests.serve.test_http import View

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in ("releases", *words)], debug=False)
    told = capsys.readouterr()
    return code, told.out, told.err


def ask(store: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(sql).fetchall()


def test_added_listed_moved_and_taken_back_with_every_word_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.duckdb"
    store = ("--by", "ada", "--store", path)
    code, out, _ = say(capsys, "add", "aurora-5", "2026-03-01T10:00:00+01:00", "--note", "GA", *store)
    assert (code, out) == (0, "aurora-5: released 2026-03-01 09:00:00 UTC\n")
    assert say(capsys, "add", "aurora-5", "2026-03-01T09:00:00Z", "--note", "GA", *store)[0] == 0  # the answer was lost
    assert say(capsys, "add", "org/ft:a b", "2027-01-01", "--json", *store)[:2] == (
        0, '{"model":"org/ft:a b","released_at":"2027-01-01T00:00:00Z"}\n'
    )  # fmt: skip
    _, out, _ = say(capsys, "list", "--json", "--store", path)
    assert [(row["model"], row["note"], row["said_by"]) for row in json.loads(out)] == [
        ("org/ft:a b", None, "ada"), ("aurora-5", "GA", "ada"),
    ]  # fmt: skip
    assert say(capsys, "add", "aurora-5", "2026-03-02", *store)[0] == 0
    assert ask(path, "select released_at, note from releases where model = 'aurora-5'") == [
        (datetime(2026, 3, 2, tzinfo=UTC), None)
    ]
    assert say(capsys, "remove", "aurora-5", "--note", "postponed", *store)[:2] == (0, "aurora-5: taken back\n")
    assert say(capsys, "remove", "aurora-5", *store)[0] == 0  # the answer was lost
    assert ask(path, "select model from releases") == [("org/ft:a b",)]
    _, out, _ = say(capsys, "list", "--history", "--json", "--store", path)
    assert [(row["model"], row["action"], row["note"]) for row in json.loads(out)] == [
        ("aurora-5", "add", "GA"), ("org/ft:a b", "add", None), ("aurora-5", "add", None),
        ("aurora-5", "remove", "postponed"),
    ]  # fmt: skip


def test_wrong_words_end_in_one_line_and_store_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.duckdb"
    for words, expected in (
        (("add", "m", "soon"), 64),
        (("add", "m", ""), 64),
        (("add", "m", "0001-01-01T00:00:00+10:00"), 64),
        (("add", "m", "9999-12-31T23:59:59-10:00"), 64),
        (("add", "m", "20260-03-01"), 64),
        (("add", "m", "1026-03-01"), 64),
        (("add", "", "2026-03-01"), 64),
        (("add", " m", "2026-03-01"), 64),
        (("add", "a\nb", "2026-03-01"), 64),
        (("add", "m\x1b[31m", "2026-03-01"), 64),
        (("add", "x" * 257, "2026-03-01"), 64),
        (("add", "m", "2026-03-01", "--note", "\x07"), 64),
        (("add", "m", "2026-03-01", "--by", " "), 64),
        (("remove", "m"), 66),
    ):
        code, out, err = say(capsys, *words, "--store", path)
        assert (code, out, err.count("\n")) == (expected, "", 1), words
        assert " → " in err
        assert err.strip().isprintable(), words
    assert not path.exists()
    assert say(capsys, "add", "other", "2026-03-01", "--store", path)[0] == 0
    code, _, err = say(capsys, "remove", "m", "--store", path)
    assert (code, "nobody said when 'm' was released; of others it is known: other" in err) == (64, True)


def test_a_date_is_its_beginning_in_utc() -> None:
    assert parse_when("2026-03-01") == NINE.replace(hour=0)
    assert parse_when(" 2026-03-01T10:00:00+01:00 ") == NINE


def test_ten_thousand_are_listed_and_no_more_are_taken() -> None:
    with Bench() as bench:
        bench.add_release("first", NINE)
        bench.store.connection.execute(
            "insert into release_word select 2 + i, 'm' || i, 'add', timestamptz '2026-01-05 12:00:00+00', null, 'x', "
            f"timestamptz '2026-01-05 12:00:00+00' from range({MAX_RELEASES - 1}) as t(i)"
        )
        with pytest.raises(UsageError, match="10000 releases already"):
            bench.add_release("one more", NINE)
        bench.add_release("first", NINE + timedelta(hours=1))  # whose date moves is no more than before
        bench.add_events([{"account_id": "a", "model": "m77"}])
        found = bench.store.connection.execute(
            "select count(*), count(*) filter (where declared) from model_releases($since, $until, 7, 1)",
            {"since": START, "until": START + timedelta(hours=1)},
        ).fetchone()
        assert found == (MAX_RELEASES - 1, MAX_RELEASES - 1)


def _released(bench: Bench, day: int, customers: int = 3, known_days: int = 7) -> list[tuple[str, datetime, bool]]:
    params = {
        "since": START + timedelta(days=day),
        "until": START + timedelta(days=day + 1),
        "known_days": known_days,
        "customers": customers,
    }
    return bench.store.connection.execute(
        "from model_releases($since, $until, $known_days, $customers) order by model", params
    ).fetchall()


def test_a_model_that_nobody_declared_counts_from_its_first_request_in_a_store_that_is_old_enough() -> None:
    with Bench() as bench:

        def sent(day: float, model: str, accounts: int) -> None:
            when = START + timedelta(days=day)
            bench.add_events([{"account_id": f"a{i}", "model": model, "timestamp": when} for i in range(accounts)])

        sent(0, "old", 5)
        sent(5.5, "early", 5)
        assert _released(bench, 5) == []  # of the days before too little is known
        assert [row[0] for row in _released(bench, 5, known_days=5)] == ["early"]
        sent(8, "old", 5)
        sent(8.5, "early", 5)
        sent(8.5, "new", 5)
        sent(8.5, "tuned", 2)
        sent(8.7, "planned", 5)
        noon = START + timedelta(days=8)
        expected = [("new", noon + timedelta(hours=12), False), ("planned", START + timedelta(days=8.7), False)]
        assert _released(bench, 8) == expected  # one customer's own model is no release, nor is one of days before
        assert _released(bench, 8, customers=6) == []
        bench.add_release("planned", START + timedelta(days=30))  # what is said counts, whatever was seen
        bench.add_release("old", noon)
        assert _released(bench, 8) == [expected[0], ("old", noon, True)]


def test_whoever_belongs_together_is_one_customer_of_a_new_model() -> None:
    with Bench() as bench:
        bench.add_accounts([{"account_id": f"a{i}", "organisation": "one"} for i in range(5)])
        events = [{"account_id": f"a{i}", "model": "old", "timestamp": START} for i in range(5)]
        later = START + timedelta(days=8.5)
        bench.add_events([*events, *({**event, "model": "new", "timestamp": later} for event in events)])
        assert _released(bench, 8, customers=2) == []
        assert [row[0] for row in _released(bench, 8, customers=1)] == ["new"]


@pytest.mark.parametrize(("point", "words"), [("serve.evaluated", 0), ("serve.committed", 1)])
def test_killed_between_and_repeated_it_is_said_once(tmp_path: Path, point: str, words: int) -> None:
    path = tmp_path / "s.duckdb"
    with Store.open(path, Settings().store, clock=ManualClock()):
        pass
    command = ["releases", "add", "m", "2026-03-01", "--store", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command],
        env={**os.environ, "STILLWATCH_FAULT": point},
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(ask(path, "from release_words")) == words
    assert run(command, debug=False) == 0
    assert ask(path, "select model, action from release_words") == [("m", "add")]


def test_it_survives_a_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.duckdb"
    say(capsys, "add", "m", "2026-03-01", "--note", "GA", "--store", path)
    with Store.open(path, Settings().store, clock=ManualClock()) as store:
        backup(store, tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again.duckdb")
    assert ask(tmp_path / "again.duckdb", "from release_words") == ask(path, "from release_words")
    assert len(ask(path, "from release_words")) == 1


def test_the_writer_of_a_serve_takes_it_between_two_steps(tmp_path: Path) -> None:
    settings, clock = Settings(), ManualClock()
    commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
    futures: list[Future[Any]] = [Future() for _ in range(3)]
    words = [Release("m", "add", "ada", NINE), Release("x", "remove", "ada"), Release("m\0", "add", "ada", NINE)]
    for said, future in zip(words, futures, strict=True):
        commands.put((said, future))
    with Store.open(tmp_path / "s.duckdb", settings.store, clock=clock) as opened:
        _run_commands(commands, opened, Stepper(opened, load_rules(settings.rules), settings, clock, Metrics(), 1), "e")
    assert futures[0].result(0) == {"model": "m"}
    with pytest.raises(UsageError, match="nobody said when 'x'"):
        futures[1].result(0)
    with pytest.raises(UsageError, match="no name of a model"):
        futures[2].result(0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[HttpServer, View, Path]]:
    settings = Settings(serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=tmp_path / "served.duckdb"))
    view = View()
    with HttpServer(settings, Metrics(), view) as server:
        yield server, view, beside(settings.store.path)


def test_a_running_serve_is_told(served: tuple[HttpServer, View, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, view, path = served
    assert say(capsys, "add", "m", "2026-03-01T09:00:00Z", "--by", "ada", "--store", path)[0] == 0
    assert say(capsys, "remove", "m", "--by", "ada", "--store", path)[0] == 0
    assert view.commands == [Release("m", "add", "ada", NINE), Release("m", "remove", "ada")]
    assert not path.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model": "m", "action": "add", "said_by": "x"}',
        b'{"model": "m", "action": "add", "said_by": "x", "released_at": "2026-03-01T09:00:00"}',
        b'{"model": "m", "action": "add", "said_by": "x", "released_at": "soon"}',
        b'{"model": "", "action": "add", "said_by": "x", "released_at": "2026-03-01T09:00:00Z"}',
        b'{"model": "m", "action": "remove", "said_by": "x", "released_at": "2026-03-01T09:00:00Z"}',
        b'{"model": "m", "action": "hide", "said_by": "x"}',
    ],
)
def test_a_stranger_body_is_refused_in_words(served: tuple[HttpServer, View, Path], body: bytes) -> None:
    server, view, _ = served
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/releases", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert view.commands == []


def test_a_word_is_checked_whole() -> None:
    assert check_release(Release("m", "add", "ada", NINE, "GA")) == Release("m", "add", "ada", NINE, "GA")
    with pytest.raises(UsageError, match="what is taken back has none"):
        check_release(Release("m", "remove", "ada", NINE))
