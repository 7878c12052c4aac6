"""Saved queries: the files in ``sql/queries``, each with its question and the defaults of its parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import InputNotFoundError
from pipeline.resources import sql_dir

# A header line such as `-- $account = 'acct_17'` or `-- param hours = 24`
_DEFAULT: Final = re.compile(r"^--\s*(?:param\s+)?\$?(\w+)\s*(?:=|:)\s*(.+?)\s*$")


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A saved query: its first comment line is the question."""

    name: str
    question: str
    sql: str
    defaults: Mapping[str, object]

    @property
    def shown_params(self) -> str:
        """Parameters and their defaults, for people."""
        return ", ".join(f"{name}={value}" for name, value in self.defaults.items())


def saved_queries(directory: Path | None = None) -> list[SavedQuery]:
    """Every saved query, by name."""
    return [_parse(path) for path in sorted((directory or sql_dir("queries")).glob("*.sql"))]


def saved_query(name: str, directory: Path | None = None) -> SavedQuery:
    """One by its name.

    Raises:
        InputNotFoundError: there is none of that name.
    """
    found = {item.name: item for item in saved_queries(directory)}
    if name not in found:
        raise InputNotFoundError(f"no saved query {name!r}", next_step="`stillwatch sql --list` names them")
    return found[name]


def _parse(path: Path) -> SavedQuery:
    text = path.read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("--")]
    used = set(re.findall(r"\$(\w+)", "\n".join(line for line in text.splitlines() if not line.startswith("--"))))
    defaults = {}
    for line in header[1:]:
        match = _DEFAULT.match(line)
        if match and match[1] in used:
            defaults[match[1]] = _value(match[2])
    return SavedQuery(path.stem, header[0].removeprefix("--").strip() if header else path.stem, text, defaults)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
