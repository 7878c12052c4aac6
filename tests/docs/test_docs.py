"""The documentation names only what exists: files, anchors, settings, metrics, fault points, tests."""

import ast
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.config import ENV_ALIASES, Settings, env_name
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoints, read_endpoints
from pipeline.faults import FAULT_POINTS
from pipeline.metrics import DEFINITIONS
from tests.docs.pages import FENCE, ROOT, anchors, pages


def endpoints_of(block: str) -> Endpoints:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "endpoints.toml"
        path.write_text(block)
        return read_endpoints(path, Reach.of([]))


SETTINGS = {f"{section}.{name}" for section, model in Settings() for name in type(model).model_fields}
SECTIONS = {name.partition(".")[0] for name in SETTINGS}
PAGES = sorted(pages())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", FENCE.sub("", pages()[page])):
        link = target[0] or target[1]
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        found = (ROOT / page).parent / file if file else ROOT / page
        assert found.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_settings_exist(page: str) -> None:
    text = pages()[page]
    for section, name in re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", text):
        if section in SECTIONS and f"{section}.{name}" not in FAULT_POINTS and name not in {"py", "sql", "yml"}:
            assert f"{section}.{name}" in SETTINGS, f"{page}: {section}.{name}"
    known = {env_name(name) for name in SETTINGS} | {"STILLWATCH_CONFIG", "STILLWATCH_FAULT", *ENV_ALIASES}
    named = set(re.findall(r"\bSTILLWATCH_[A-Z_]+[A-Z]\b", text)) - {"STILLWATCH_SECTION__NAME"}
    assert {name for name in named if not name.startswith("STILLWATCH_CHAOS")} <= known, page


@pytest.mark.parametrize("page", PAGES)
def test_example_settings_load(page: str) -> None:
    for language, block in FENCE.findall(pages()[page]):
        if language == "toml":
            tree = tomllib.loads(block)
            if "endpoints" in tree:  # the file of receivers is one of its own
                assert endpoints_of(block).by_name
                continue
            named = {f"{section}.{name}" for section, content in tree.items() for name in content}
            assert named <= SETTINGS, page
            Settings.model_validate(tree)


@pytest.mark.parametrize("page", PAGES)
def test_metrics_exist(page: str) -> None:
    known = {f"stillwatch_{name}{'_total' if item.kind == 'counter' else ''}" for name, item in DEFINITIONS.items()}
    named = set(
        re.findall(r"\bstillwatch_(?:ingest|worker|serve|store|rules|alerts|webhook|visible)_\w+", pages()[page])
    )
    assert named <= known, page


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_prose_exist(page: str) -> None:
    roots = "pipeline|sql|tests|scripts|infra|docs|benchmarks|requirements"
    for path in re.findall(rf"`((?:{roots})/[\w./-]*)`", pages()[page]):
        assert "/ID." in path or (ROOT / path).exists(), f"{page}: {path}"


def test_promises_name_every_fault_point() -> None:
    text = pages()["docs/promises.md"]
    named = set(re.findall(r"`((?:ingest|worker|serve)\.\w+)`", text)) - SETTINGS
    assert named == set(FAULT_POINTS)


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page: str) -> None:
    for file, function in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", pages()[page]):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {item.name for item in ast.walk(tree) if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in names, f"{page}: {file}::{function}"


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = {Requirement(line).name for line in [*project["dependencies"], *extras]}
    rows = dict(
        re.findall(r"^\| `([\w.-]+)` \|[^|]*\|[^|]*\| ([^|]*) \|", pages()["docs/dependencies.md"], re.MULTILINE)
    )
    assert asked <= set(rows)
    assert [name for name, why in rows.items() if len(why) < 5 and name != "prometheus-client"] == []


def test_generated_parts_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.gen_docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"`make docs` would change:\n{done.stdout}{done.stderr}"


def test_every_decision_is_listed() -> None:
    listed = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", pages()["docs/decisions/README.md"]))
    assert listed == {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
