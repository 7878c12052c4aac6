"""Every command that the README and docs/ show: parsed by the real command line, and run where it needs no broker."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pipeline.cli import app
from pipeline.clock import SystemClock
from pipeline.config import Settings, beside
from pipeline.store import Store
from tests.docs.pages import ROOT, Command, commands, pages, story

BIN = Path(sys.executable).parent
TARGETS = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# They stay until they are stopped, or take minutes: tests of their own start them.
NOT_RUN = {"demo", "up", "ingest", "worker", "serve", "produce", "doctor", "status"}
NEEDS_A_RECEIVER = ("webhooks", "test")  # on the internet: tests/delivery/test_commands.py has one
# These pages tell one story from an empty directory on; commands of the others are parsed only.
STORIES = ("README.md", "docs/rules.md", "docs/delivery.md", "docs/ducklake.md")
ACCOUNTS = "account_id,created_at,plan\nacct_17,2026-01-30T08:00:00Z,free\n"


def stillwatch_commands() -> list[Command]:
    return [command for command in commands() if command.words[0].endswith("stillwatch")]


def leaf(words: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The command that the words end in, and what is left for it."""
    command: Any = typer.main.get_command(app)
    rest = list(words[1:])
    while is_group(command) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        assert found is not None, f"no command {rest[0]!r} in {command.name}"
        command, rest = found, rest[1:]
    return command, rest


def is_group(command: Any) -> bool:
    """Typer carries a click of its own, so its classes are not click's."""
    return hasattr(command, "commands")


def test_the_readme_shows_the_commands_that_matter() -> None:
    shown = {command.words[1] for command in stillwatch_commands() if len(command.words) > 1}
    assert {"up", "analyze", "simulate", "sql", "accounts", "doctor", "dead-letter"} <= shown
    assert {command.words for command in commands()} >= {("make", "demo"), ("make", "test")}


@pytest.mark.parametrize("command", commands(), ids=str)
def test_a_command_exists(command: Command) -> None:
    program = command.words[0]
    if program == "make":
        assert set(command.words[1:]) <= TARGETS
    elif program.endswith("stillwatch"):
        found, _ = leaf(command.words)
        assert not is_group(found) or found.invoke_without_command or len(command.words) == 1
    else:
        assert program in {"export", "source", "docker", "cd", "curl", "cat", "kill", "ls"}, program


@pytest.mark.parametrize("command", stillwatch_commands(), ids=str)
def test_its_options_are_understood(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in command.words[1:]:
        if re.fullmatch(r"[\w/.-]+\.(ndjson|csv|duckdb|json|sql|toml|parquet)", word):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    found, rest = leaf(command.words)
    if not is_group(found) or found.invoke_without_command:
        found.make_context(found.name, rest)


def given_up_for_the_team(path: Path) -> None:
    """A store in which a message was given up, as a reader of the page on delivery has."""
    path.parent.mkdir()
    with Store.open(path, Settings().store, clock=SystemClock()) as store:
        store.connection.execute(
            "insert into outbox (message_id, alert_id, seq, endpoint, body, created_at, state, type, attempts, "
            "next_attempt_at, last_status) values ('msg_1', 'alt_1', 0, 'team', '{}', now(), 'failed', "
            "'alert.opened', 1, now(), 400)"
        )


@pytest.mark.docs
@pytest.mark.parametrize("page", STORIES)
@pytest.mark.timeout(240)
def test_commands_without_a_broker_run_in_the_order_shown(page: str, tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")
    if page == "docs/delivery.md":
        given_up_for_the_team(tmp_path / beside(Settings().store.path))
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("STILLWATCH_", "KAFKA_"))}
    environ["PATH"] = f"{BIN}{os.pathsep}{environ['PATH']}"
    for step in story(pages()[page]):
        if isinstance(step[0], Path):
            path, text = step
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(str(text), encoding="utf-8")
            continue
        words = [str(word) for word in step]
        if words[0].endswith("stillwatch") and words[1] not in NOT_RUN and tuple(words[1:3]) != NEEDS_A_RECEIVER:
            done = subprocess.run(
                words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            told = f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            assert done.returncode == 0, told
            assert "(0 rows)" not in done.stdout, told
            assert "matched in none" not in done.stdout, told
