"""What a person knows about an account: kept word by word, in force at once, once whatever is killed."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.analyze import analyze
from pipeline.cli import run
from pipeline.cli.accounts import parse_until
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.clearing import Clearing, check_clearing
from pipeline.serve.facts import import_facts, say_clearing
from pipeline.serve.loop import _run_commands
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command
from pipeline.simulate import plan
from pipeline.store import Store
from pipeline.store.clearing import UnknownAccountsError
from tests.explain.conftest import AFTER, START, lone_event
from tests.rules.test_load import write

Analyzed = tuple[Path, frozenset[str]]


def ask(store: Path, sql: str, **params: object) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(sql, params).fetchall() if params else connection.execute(sql).fetchall()


def named(store: Path) -> set[str]:
    return {row[0] for row in ask(store, "select account_id from suspicious_accounts")}


def say(store: Path, *accounts: str, action: str = "clear", until: datetime | None = None, by: str = "ada") -> None:
    reason = "a nightly evaluation" if action == "clear" else None
    said = Clearing(accounts, action, by, reason, until)  # type: ignore[arg-type]
    say_clearing(store, check_clearing(said), Settings(), clock=ManualClock(AFTER + timedelta(hours=1)))


def test_a_cleared_account_leaves_its_campaign_and_its_finding_stays(store: Path, analyzed: Analyzed) -> None:
    one = min(analyzed[1])
    [(campaign, members, score)] = ask(
        store, "select campaign_id, accounts, score from findings join campaigns using (campaign_id, score)"
        " where dimension = 'campaign'"
    )  # fmt: skip
    [(before,)] = ask(store, "select score from findings where entity_id = $id", id=one)
    say(store, one)
    assert one not in named(store)
    assert len(named(store)) == 79
    found = ask(store, "select named, cleared_reason, score, campaign_id from findings where entity_id = $id", id=one)
    assert found == [(False, "a nightly evaluation", before, None)]
    assert ask(store, "select accounts, named_accounts from campaigns") == [(members - 1, 79)]
    assert ask(store, "select count(*) from campaign_members where account_id = $id", id=one) == [(0,)]
    say(store, one, action="unclear")
    assert len(named(store)) == 80
    assert ask(store, "select accounts, score from campaigns where campaign_id = $id", id=campaign) == [
        (members, score)
    ]
    history = ask(store, "select action, reason, said_by, last_word from clearances order by seq")
    assert history == [("clear", "a nightly evaluation", "ada", False), ("unclear", None, "ada", True)]


def test_a_campaign_whose_accounts_are_all_cleared_is_over_and_its_alert_resolved(
    store: Path, analyzed: Analyzed
) -> None:
    assert ask(store, "select state from alerts where campaign_id is not null") == [("firing",)]
    say(store, *analyzed[1])
    assert named(store) == set()
    assert ask(store, "select count(*) from campaigns") == [(0,)]
    assert ask(store, "select state from alerts where campaign_id is not null") == [("resolved",)]
    assert ask(store, "select type from alert_events order by created_at, seq")[-1] == ("alert.resolved",)


def test_a_clearance_covers_what_was_seen_before_its_end_and_nothing_else(store: Path, analyzed: Analyzed) -> None:
    one, other = sorted(analyzed[1])[:2]
    [(last,)] = ask(store, "select last_seen from findings where entity_id = $id", id=one)
    say(store, one, until=last + timedelta(microseconds=1))
    assert one not in named(store)
    say(store, one, until=last)  # its last request is no longer before the end
    assert one in named(store)
    assert ask(store, "select cleared_reason from findings where entity_id = $id", id=one) == [(None,)]
    say(store, other, until=datetime(2025, 1, 1, tzinfo=UTC))
    assert other in named(store)


def test_saying_it_again_is_no_new_word_and_facts_are_the_same_mechanism(store: Path, analyzed: Analyzed) -> None:
    one = min(analyzed[1])
    say(store, one)
    say(store, one, by="bob")
    say(store, "lone", action="unclear")  # was never cleared
    assert len(ask(store, "from clearances")) == 1
    clock = ManualClock(AFTER + timedelta(hours=2))
    import_facts(store, [{"account_id": one, "cleared_reason": "from the CRM"}], Settings(), clock=clock)
    import_facts(store, [{"account_id": one, "plan": "pro"}], Settings(), clock=clock)
    assert ask(store, "select cleared_reason from accounts where account_id = $id", id=one) == [("from the CRM",)]
    import_facts(store, [{"account_id": one, "cleared_reason": ""}], Settings(), clock=clock)
    assert one in named(store)
    words = ask(store, "select action, reason, said_by from clearances order by seq")
    assert words == [
        ("clear", "a nightly evaluation", "ada"),
        ("clear", "from the CRM", "accounts import"),
        ("unclear", None, "accounts import"),
    ]


def test_when_it_was_said_changes_nothing_in_what_is_found(tmp_path: Path, store: Path, analyzed: Analyzed) -> None:
    """Before the events are read, with them, or afterwards: the findings are the same to the last digit."""
    one, other = sorted(analyzed[1])[:2]
    concluded = (
        "select entity_id, score, named, cleared_reason, campaign_id, reasons, first_seen, last_seen from findings"
    )
    facts = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80).accounts.to_dicts()
    words = [{"account_id": name, "cleared_reason": "known"} for name in (one, other)]
    early = tmp_path / "early.duckdb"
    import_facts(early, words, Settings(), clock=ManualClock(START - timedelta(days=1)))
    file = analyzed[0].with_name("traffic.ndjson")
    analyze([file], early, Settings(), clock=ManualClock(AFTER), metrics=Metrics(), accounts=facts)
    import_facts(store, words, Settings(), clock=ManualClock(AFTER + timedelta(days=9)))
    assert ask(early, f"{concluded} order by all") == ask(store, f"{concluded} order by all")
    assert len(named(early)) == 78


def test_an_account_nobody_knows_is_refused_with_the_nearest(store: Path, analyzed: Analyzed) -> None:
    one = min(analyzed[1])
    with pytest.raises(UnknownAccountsError, match=one):
        say(store, one, one + "x")
    assert ask(store, "from clearances") == []
    assert one in named(store)


@pytest.mark.parametrize(("point", "words"), [("serve.applied", 0), ("serve.evaluated", 0), ("serve.committed", 1)])
def test_killed_between_and_repeated_it_is_said_once(store: Path, analyzed: Analyzed, point: str, words: int) -> None:
    one = min(analyzed[1])
    command = [sys.executable, "-m", "pipeline.cli", "accounts", "clear", one, "--reason", "x", "--store", str(store)]
    done = subprocess.run(command, env={**os.environ, "STILLWATCH_FAULT": point}, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(ask(store, "from clearances")) == words
    assert (one in named(store)) == (words == 0)
    assert run(command[3:], debug=False) == 0
    assert ask(store, "select account_id, reason from clearances") == [(one, "x")]
    assert one not in named(store)


def test_the_writer_of_a_serve_takes_it_between_two_steps(store: Path, analyzed: Analyzed) -> None:
    one = min(analyzed[1])
    settings, clock = Settings(), ManualClock(AFTER)
    commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
    good: Future[Any] = Future()
    bad: Future[Any] = Future()
    commands.put((Clearing((one,), "clear", "ada", "known"), good))
    commands.put((Clearing(("nobody",), "clear", "ada", "known"), bad))
    with Store.open(store, settings.store, clock=clock) as opened:
        stepper = Stepper(opened, load_rules(settings.rules), settings, clock, Metrics(), 1)
        _run_commands(commands, opened, stepper, "e")
    assert good.result(0) == {"accounts": 1}
    with pytest.raises(UsageError, match="nobody"):
        bad.result(0)
    assert one not in named(store)


def test_the_commands(store: Path, analyzed: Analyzed, capsys: pytest.CaptureFixture[str]) -> None:
    one = min(analyzed[1])
    words = ["accounts", "clear", one, "--reason", "a tester", "--by", "ada", "--until", "2027-01-01"]
    assert run([*words, "--store", str(store)], debug=False) == 0
    assert capsys.readouterr().out == "1 account cleared until 2027-01-01 00:00 UTC\n"
    assert run(["accounts", "cleared", "--json", "--store", str(store)], debug=False) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["account_id"], row["state"], row["reason"], row["said_by"]) == (one, "holds", "a tester", "ada")
    assert run(["accounts", "unclear", one, "--by", "bob", "--store", str(store)], debug=False) == 0
    capsys.readouterr()
    assert run(["accounts", "cleared", one, "--json", "--store", str(store)], debug=False) == 0
    assert [item["said_by"] for item in json.loads(capsys.readouterr().out)] == ["ada", "bob"]
    assert run(["accounts", "clear", "nobody", "--reason", "x", "--store", str(store)], debug=False) == 64
    assert run(["accounts", "clear", one, "--reason", " ", "--store", str(store)], debug=False) == 64
    assert run(["accounts", "clear", one, "--reason", "x", "--until", "soon", "--store", str(store)], debug=False) == 64


def test_a_rule_that_is_broken_stops_no_explanation(
    store: Path,
    analyzed: Analyzed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "mine", sql="select 1")
    monkeypatch.setenv("STILLWATCH_RULES__DIRECTORY", str(tmp_path / "mine"))
    one = min(analyzed[1])
    assert run(["explain", one, "--store", str(store)], debug=False) == 0
    told = capsys.readouterr()
    assert one in told.out
    assert "mine.sql: $since is not used" in told.err
    monkeypatch.setenv("STILLWATCH_RULES__DIRECTORY", str(tmp_path / "none"))
    assert run(["explain", one, "--store", str(store)], debug=False) == 78


def test_an_account_is_cleared_by_its_own_id_or_by_its_pseudonym(tmp_path: Path) -> None:
    settings = Settings.model_validate({"privacy": {"pseudonymise": ["account_id"], "key": "0123456789abcdef"}})
    file, store, clock = tmp_path / "t.ndjson", tmp_path / "s.duckdb", ManualClock(AFTER)
    file.write_bytes(lone_event("lone"))
    analyze([file], store, settings, clock=clock, metrics=Metrics())
    say_clearing(store, Clearing(("lone",), "clear", "ada", "known"), settings, clock=clock)
    [(pseudonym,)] = ask(store, "select account_id from clearances")
    assert pseudonym.startswith("acct~")
    say_clearing(store, Clearing((pseudonym,), "unclear", "ada"), settings, clock=clock)
    assert ask(store, "select account_id, action from clearances where last_word") == [(pseudonym, "unclear")]


def test_a_date_is_its_beginning_in_utc() -> None:
    assert parse_until("2026-01-05") == START - timedelta(hours=12)
    assert parse_until("2026-01-05T13:00:00+01:00") == START


def test_a_store_of_before_keeps_what_was_cleared(tmp_path: Path) -> None:
    from pipeline.store.migrate import migrate  # noqa: PLC0415

    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, now=START, place="old", up_to=3)
        connection.execute(
            "insert into account_fact (account_id, cleared_reason, updated_at) "
            "values ('a', 'known', now()), ('b', null, now())"
        )
    with Store.open(path, Settings().store, clock=ManualClock(START)):
        pass
    assert ask(path, "select account_id, cleared_reason from accounts order by 1") == [("a", "known"), ("b", None)]
    assert ask(path, "select account_id, action, said_by from clearances") == [("a", "clear", "accounts import")]
