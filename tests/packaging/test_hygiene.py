"""What must not be in the repository, and what every module must have."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES = 350
TEST_LINES = 400  # scenario tests are long on purpose
# Written in pieces, so that this file does not find itself.
REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted",
    "maven" + ".org",
    "registry." + "npmjs",
    "index" + "-url =",
    "extra-" + "index-url",
)
PLACES = ("/" + "work/", "/" + "root/", "/" + "home/", "/" + "opt/wheels")
LOCKS = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock"}


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("not a git checkout, so there is nothing that could be committed")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            found.append((path.relative_to(ROOT), data.decode("utf-8")))
    assert len(found) > 50
    return found


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


@pytest.mark.parametrize("word", [*REGISTRIES, *PLACES])
def test_no_file_names_a_registry_or_a_place_on_one_machine(word: str) -> None:
    assert [str(path) for path, text in texts() if word in text] == []


def test_no_lock_file_of_another_tool() -> None:
    assert [path.name for path in tracked() if path.name in LOCKS] == []


def test_nothing_large_is_committed() -> None:
    assert [(str(path), path.stat().st_size) for path in tracked() if path.stat().st_size > 2_000_000] == []


def test_every_module_says_first_what_it_is_for() -> None:
    ours = [path for path in modules() if not path.is_relative_to(ROOT / "tests")]
    assert [str(path.relative_to(ROOT)) for path in ours if not _first_line(path)] == []


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def test_no_module_is_too_long() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    limits = {path: TEST_LINES if path.parts[0] == "tests" else MODULE_LINES for path in lengths}
    assert {str(path): length for path, length in lengths.items() if length > limits[path]} == {}


def test_docs_stand_on_their_own() -> None:
    named = [
        str(path) for path, text in texts() if path.suffix == ".md" and re.search(r"\.\./shared|issues show", text)
    ]
    assert named == []


def test_scripts_can_be_run() -> None:
    scripts = [path for path in tracked() if path.suffix == ".sh"] + [ROOT / ".ci/run"]
    for path in scripts:
        assert path.stat().st_mode & 0o111, path
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0, path
        assert "set -euo pipefail" in path.read_text(encoding="utf-8"), path
