"""``stillwatch alerts`` on a store that no serve has open; what serve does with the same words is its door's test."""

from __future__ import annotations

import json
import queue
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.cli import run
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.loop import _run_commands
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command
from pipeline.store import Store
from tests.alerts.made import START, Day

Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with two alerts, about campaigns of five and of 120 accounts."""
    path = tmp_path_factory.mktemp("made") / "store.duckdb"
    with Store.open(path, Settings().store, clock=ManualClock(START)) as opened, opened.transaction() as tx:
        day = Day(tx=tx)
        day.campaign(5)
        day.campaign(120, "cmp_2")
        day.look()
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(made, tmp_path / "store.duckdb"))


def said(capsys: Out, store: Path, *words: str) -> Any:
    """What a command answers as JSON."""
    assert run(["alerts", *words, "--store", str(store), "--json"], debug=False) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Out, store: Path, *words: str) -> str:
    assert run(["alerts", *words, "--store", str(store)], debug=False) == 64
    return capsys.readouterr().err


def test_the_worst_comes_first_and_what_is_over_is_not_listed(store: Path, capsys: Out) -> None:
    worst, other = said(capsys, store, "list")
    assert [worst["severity"], other["severity"]] == ["critical", "high"]
    assert said(capsys, store, "list", "--severity", "high") == [other]
    said(capsys, store, "resolve", other["alert_id"], "--reason", "keys revoked")
    assert [row["alert_id"] for row in said(capsys, store, "list")] == [worst["alert_id"]]
    assert len(said(capsys, store, "list", "--state", "any")) == 2
    assert run(["alerts", "list", "--store", str(store)], debug=False) == 0
    assert "120 accounts act as one" in capsys.readouterr().out


def test_its_life_is_kept_word_by_word(store: Path, capsys: Out) -> None:
    alert = said(capsys, store, "list")[0]["alert_id"]
    short = alert[:9]
    said(capsys, store, "ack", short, "--by", "ana", "--note", "looking")
    said(capsys, store, "assign", short, "--to", "ben", "--by", "ana")
    said(capsys, store, "note", short, "asked the customer", "--by", "ben")
    said(capsys, store, "verdict", short, "true", "--reason", "they said so", "--by", "ben")
    shown = said(capsys, store, "show", short)
    assert (shown["state"], shown["assignee"], shown["verdict"]) == ("acknowledged", "ben", "true")
    history = said(capsys, store, "history", short)
    assert [(row["what"], row["by_whom"]) for row in history] == [
        ("alert.opened", None),
        ("alert.acknowledged", None),
        ("ack", "ana"),
        ("assign", "ana"),
        ("note", "ben"),
        ("verdict", "ben"),
    ]
    assert run(["alerts", "show", short, "--store", str(store)], debug=False) == 0
    told = capsys.readouterr().out
    assert "stillwatch sql \"select * from suspicious_accounts where campaign_id = 'cmp_2'\"" in told
    assert run(["alerts", "export", "--store", str(store)], debug=False) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    exported = next(line for line in lines if line["alert_id"] == alert)
    assert [event["type"] for event in exported["events"]] == ["alert.opened", "alert.acknowledged"]
    assert [word["action"] for word in exported["words"]] == ["ack", "assign", "note", "verdict"]


def test_silences_by_command(store: Path, capsys: Out) -> None:
    added = said(
        capsys, store, "silence", "add", "rule=campaign", "--for", "4h", "--reason", "load test", "--by", "ana"
    )
    [listed] = said(capsys, store, "silence", "list")
    assert (listed["silence_id"], listed["state"], listed["said_by"]) == (added["silence_id"], "holds", "ana")
    said(capsys, store, "silence", "end", added["silence_id"], "--by", "ben")
    assert said(capsys, store, "silence", "list") == []
    [over] = said(capsys, store, "silence", "list", "--all")
    assert (over["state"], over["ended_by"]) == ("over", "ben")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ack", "alt_none"], "there is no alert alt_none"),
        (["ack", "alt_"], "could be"),
        (["list", "--state", "lost"], "no state"),
        (["verdict", "alt_", "perhaps"], "no verdict"),
        (["verdict", "alt_", "true", "--clear", "--reason", "x"], "false and benign-known"),
        (["verdict", "alt_", "false", "--clear"], "needs a reason"),
        (["resolve", "alt_", "--reason", " "], "needs a text"),
        (["note", "alt_", "a\x1b[31m"], "cannot be shown"),
        (["silence", "add", "rule=a", "--reason", "x"], "either for how long"),
        (["silence", "add", "rule=a", "--reason", "x", "--for", "0h"], "no duration"),
        (
            ["silence", "add", "rule=a", "--reason", "x", "--from", "2030-01-02", "--until", "2030-01-01"],
            "before it starts",
        ),
        (["silence", "end", "sil_none"], "there is no silence"),
    ],
)
def test_wrong_words_are_told_with_the_next_step(store: Path, capsys: Out, words: list[str], message: str) -> None:
    told = refused(capsys, store, *words)
    assert message in told
    assert "→" in told
    assert "Traceback" not in told


def test_the_writer_of_serve_takes_words_and_silences(store: Path) -> None:
    settings, clock = Settings(), ManualClock(START)
    commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
    futures: list[Future[Any]] = [Future() for _ in range(3)]
    with Store.open(store, settings.store, clock=clock) as opened:
        [(alert,)] = opened.connection.execute("select alert_id from alerts where campaign_id = 'cmp_1'").fetchall()
        silence = SilenceWord("ana", None, ("rule=x",), "because", START, START.replace(year=START.year + 2))
        spoken: list[Command] = [AlertWord((alert,), "ack", "ana"), AlertWord(("alt_none",), "ack", "ana"), silence]
        for command, future in zip(spoken, futures, strict=True):
            commands.put((command, future))
        stepper = Stepper(opened, load_rules(settings.rules), settings, clock, Metrics(), 1)
        _run_commands(commands, opened, stepper, "e")
        assert opened.connection.execute("select state from alerts order by campaign_id").fetchall() == [
            ("acknowledged",),
            ("firing",),
        ]
    assert futures[0].result(0) == {"alerts": 1}
    with pytest.raises(UsageError, match="alt_none"):
        futures[1].result(0)
    with pytest.raises(UsageError, match="longer than a year"):
        futures[2].result(0)
