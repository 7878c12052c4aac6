"""The pinned requirements: hashed, without addresses, and what the package asks for."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, set[str]]:
    """Name → versions; a package may be pinned differently for different Pythons."""
    found: dict[str, set[str]] = {}
    for package, pinned in re.findall(r"^([A-Za-z0-9_.\[\],-]+)==([^ ;\\]+)", _text(name), re.MULTILINE):
        found.setdefault(canonicalize_name(package.partition("[")[0]), set()).add(pinned)
    assert found
    return found


def _text(name: str) -> str:
    return (ROOT / "requirements" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["dev.txt", "run.txt", "build.txt"])
def test_every_pin_has_its_hashes_and_no_address(name: str) -> None:
    text = _text(name)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert not re.search(r"^--?(index|extra-index|find-links|i )", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["run.txt", "build.txt"])
def test_what_runs_is_what_was_tested(name: str) -> None:
    tested = pins("dev.txt")
    assert {package: pinned for package, pinned in pins(name).items() if pinned != tested.get(package)} == {}


def test_pins_fit_what_the_package_asks_for() -> None:
    run = pins("run.txt")
    for line in PROJECT["dependencies"]:
        asked = Requirement(line)
        pinned = run[canonicalize_name(asked.name)]
        assert all(asked.specifier.contains(item) for item in pinned), line


def test_this_environment_is_the_pinned_one() -> None:
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["broker"]]:
        name = canonicalize_name(Requirement(line).name)
        assert version(name) in pins("dev.txt")[name], f"{name}: `make setup` again"


def test_development_does_without_nothing_optional() -> None:
    dev = pins("dev.txt")
    for extra, lines in PROJECT["optional-dependencies"].items():
        assert {canonicalize_name(Requirement(line).name) for line in lines} <= set(dev), extra


def test_duckdb_is_pinned_exactly() -> None:
    assert [line for line in PROJECT["dependencies"] if re.match(r"duckdb==\d", line)]


def test_every_dependency_is_used() -> None:
    modules = {"kafka-python": "kafka", "faust-streaming": "faust", "opentelemetry-proto": "opentelemetry.proto"}
    modules |= {"protobuf": "google.protobuf"}
    modules |= {"pyyaml": "yaml", "polars-hash": "polars_hash", "prompt-toolkit": "prompt_toolkit"}
    text = "\n".join(
        path.read_text(encoding="utf-8") for room in ("pipeline", "benchmarks") for path in (ROOT / room).rglob("*.py")
    )
    names = [canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]]
    imported = {name: modules.get(name, name.replace("-", "_")) for name in names}
    used = set(re.findall(r"^\s*(?:import|from) ([\w.]+)", text, re.MULTILINE))
    assert [
        name for name, found in imported.items() if not any(f"{item}.".startswith(f"{found}.") for item in used)
    ] == []
