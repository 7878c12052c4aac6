"""The wheel: what is in it, and that it works from an empty environment in another directory."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
         "--no-build-isolation", "--wheel-dir", str(target), str(ROOT)],
        check=True, timeout=120,
    )  # fmt: skip
    (found,) = target.glob("stillwatch-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of an environment that holds nothing but the wheel; its dependencies are borrowed from ours."""
    place = tmp_path_factory.mktemp("empty environment")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin/python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python), "install",
         "--no-deps", "--no-index", str(wheel)],
        check=True, timeout=120,
    )  # fmt: skip
    (site,) = place.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("STILLWATCH_", "PYTHON", "KAFKA_"))}
    return subprocess.run(arguments, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=120)


def test_every_sql_file_and_the_type_marker_travel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path.relative_to(ROOT / "sql").as_posix() for path in (ROOT / "sql").rglob("*") if path.is_file()}
    assert shipped
    assert {f"pipeline/_sql/{name}" for name in shipped} <= names
    assert "pipeline/py.typed" in names
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("*.j2")}
    assert templates
    assert templates <= names
    assert not [name for name in names if name.startswith(("tests/", "sql/", "scripts/"))]


def test_every_module_travels(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("*.py")} <= names


def test_extras_and_licence_are_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
    metadata = archive.read(name).decode()
    assert "Provides-Extra: broker" in metadata
    assert "Provides-Extra: uvloop" in metadata
    assert "License-Expression: Apache-2.0" in metadata


def test_the_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import pipeline, pipeline.resources as r; print(pipeline.__file__); print(r.sql_dir('rules'))"
    done = run([str(installed / "python"), "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [Path(line).is_relative_to(installed.parent) for line in done.stdout.split("\n")[:2]] == [True, True]


def test_it_answers_from_anywhere(installed: Path, tmp_path: Path) -> None:
    done = run([str(installed / "stillwatch"), "--version"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout


def test_it_analyses_a_file_and_answers_sql(installed: Path, tmp_path: Path) -> None:
    events = [
        {"event_id": f"e{n}", "timestamp": BASE + n, "account_id": f"a{n % 3}", "model": "m", "input_tokens": 10}
        for n in range(300)
    ]
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    stillwatch = str(installed / "stillwatch")
    done = run([stillwatch, "analyze", "events.ndjson", "--store", "s.duckdb"], tmp_path)
    assert done.returncode == 0, done.stderr
    question = "select sum(events) as events, sum(input_tokens) as tokens from fingerprints_1m where kind = 'account'"
    done = run([stillwatch, "sql", question, "--store", "s.duckdb", "--format", "ndjson"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"events": 300, "tokens": 3000}
