"""Where the SQL that travels with the package is: ``sql/`` in a checkout, ``pipeline/_sql`` in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

SqlRoom = Literal["schema", "views", "queries", "rules", "meta", "explain", "kept"]


def sql_dir(room: SqlRoom) -> Path:
    """Directory of one kind of SQL file.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    here = Path(__file__).parent
    for root in (here / "_sql", here.parent / "sql"):
        if (root / room).is_dir():
            return root / room
    raise FileNotFoundError(f"sql/{room} is missing from this installation; install the wheel again")


def rule_files(directory: Path) -> list[Path]:
    """The files of rules in a directory; hidden ones, as editors leave them beside, are none."""
    suffixes = {".sql", ".yml", ".yaml"}
    return [path for path in directory.iterdir() if path.suffix in suffixes and not path.name.startswith(".")]
