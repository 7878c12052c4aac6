"""Sigma rules as trees, written to a file and imported: what the tests of the importer share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pipeline.rules.load import load_directory
from pipeline.rules.model import Rule
from pipeline.rules.sigma import Importer, SigmaRefusedError

COUNT: Final = {"gte": 5}
Tree = dict[str, Any]
ANY: Final = {"model": "*"}


def base(selection: object, title: str = "Base", condition: str = "selection", **more: object) -> Tree:
    """A rule of events, named as its title."""
    detection = {"selection": selection, "condition": condition}
    detection |= {key: more.pop(key) for key in list(more) if key.startswith(("filter", "other"))}
    return {"title": title, "name": title, "logsource": {"product": "stillwatch"}, "detection": detection, **more}


def correlation(
    kind: str,
    rules: Sequence[str] = ("Base",),
    title: str = "Together",
    group_by: Sequence[str] | None = ("account_id",),
    **more: object,
) -> Tree:
    grouped = None if group_by is None else list(group_by)
    body = {"type": kind, "rules": list(rules), "group-by": grouped, "timespan": "10m", **more}
    return {"title": title, "level": "high", "correlation": body}


def file(directory: Path, *rules: Mapping[str, object]) -> Path:
    path = directory / "sigma.yml"
    path.write_text(yaml.safe_dump_all([dict(rule) for rule in rules], sort_keys=False), encoding="utf-8")
    return path


def imported(directory: Path, *rules: Mapping[str, object]) -> dict[str, Rule]:
    """Import them; what stands there then, loaded as ``serve`` loads it."""
    target = directory / "rules"
    Importer(target).run(file(directory, *rules))
    return dict(load_directory(target).rules)


def refused(directory: Path, *rules: Mapping[str, object]) -> str:
    with pytest.raises(SigmaRefusedError) as caught:
        Importer(directory / "rules").run(file(directory, *rules))
    assert not (directory / "rules").exists()
    return str(caught.value)
