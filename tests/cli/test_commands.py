"""Every command explains itself, and every error is one line with an exit code that tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from pipeline import cli
from pipeline.cli import app, configuration

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
        (("sql", "select 1", "--param", "x"), 64),
        (("sql", "select 1", "--saved", "y"), 64),
        (("--config", "missing.toml", "config", "show"), 78),
        (("status",), 69),
    ],
)
def test_an_error_is_one_line_with_the_next_step(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = stillwatch(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ")
    assert " → " in done.stderr
    assert done.stderr.count("\n") == 1


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
    assert rows["kafka.client_id"] == {"name": "kafka.client_id", "value": '"here"', "source": "stillwatch.toml"}
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


def test_version(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = stillwatch("--version", cwd=tmp_path)
    assert done.stdout.startswith("stillwatch ")
    assert time.perf_counter() - started < 10
