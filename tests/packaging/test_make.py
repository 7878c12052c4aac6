"""The Makefile and its scripts: from a path with a space, after a move, with the wrong Python, without Java."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: list[str], cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        arguments, cwd=cwd, env=kept | environ, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a path with a space, its environment installed as far as make can tell."""
    place = tmp_path / "a path with spaces"
    for name in ("Makefile", "pyproject.toml"):
        place.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, place / name)
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/.installed").write_text(f"{place.resolve()}\n")
    return place


def test_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE)
    shown = run(["make", "help"], ROOT).stdout
    assert {"setup", "demo", "test", "chaos", "bench"} <= set(targets)
    assert [name for name in targets if not re.search(rf"^  make {name} +\S", shown, re.MULTILINE)] == []


def test_nothing_is_installed_twice(checkout: Path) -> None:
    assert "scripts/setup.sh" not in run(["make", "-n", "demo"], checkout).stdout


@pytest.mark.parametrize("name", ["requirements/dev.txt", "pyproject.toml"])
def test_a_changed_requirement_is_installed(checkout: Path, name: str) -> None:
    stamp = checkout / ".venv/.installed"
    later = stamp.stat().st_mtime + 10
    os.utime(checkout / name, (later, later))
    assert "scripts/setup.sh" in run(["make", "-n", "demo"], checkout).stdout


def test_a_moved_checkout_is_set_up_anew(checkout: Path) -> None:
    moved = checkout.rename(checkout.parent / "elsewhere, moved")
    assert "scripts/setup.sh" in run(["make", "-n", "demo"], moved).stdout


def test_an_old_python_is_refused_with_the_next_step(checkout: Path) -> None:
    old = checkout / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = run(["scripts/setup.sh"], checkout, PYTHON=str(old))
    assert done.returncode == 1
    assert done.stderr.startswith("error: Python 3.9.2 is too old → install Python 3.11")


def test_packages_are_left_alone_outside_ci(tmp_path: Path) -> None:
    done = run([str(ROOT / "scripts/ci-packages.sh")], tmp_path, CI="")
    assert (done.returncode, done.stdout) == (0, "")


def test_ci_without_java_and_without_a_way_to_get_it_fails(tmp_path: Path) -> None:
    for tool in ("bash", "env", "id"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    done = run(["bash", str(ROOT / "scripts/ci-packages.sh")], tmp_path, CI="true", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "error: CI without openjdk-17-jre-headless maven openssl prometheus-alertmanager →" in done.stderr


def test_ci_runs_the_same_checks_as_everyone() -> None:
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == "make test"
