"""Where a store is: a DuckDB file, or a DuckLake, named as DuckDB's ATTACH names it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

LAKE: Final = "ducklake:"
STATE: Final = Path("stillwatch-data")  # what belongs to a store without a file on this machine
_CATALOG: Final = re.compile(r"(postgres|sqlite):(.+)", re.DOTALL)
_PASSWORD: Final = re.compile(r"\b(?:ssl)?password\s*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Lake:
    """A DuckLake by its catalog: ``postgres`` and libpq's ``dbname=… host=…``, or ``sqlite`` and a file.

    Nothing in it is secret: ``place_of`` lets no password in.
    """

    kind: Literal["postgres", "sqlite"]
    catalog: str

    def __str__(self) -> str:
        return f"{LAKE}{self.kind}:{self.catalog}"


Place = Path | Lake


def place_of(named: object) -> Place:
    """The place that somebody named.

    Raises:
        ValueError: neither a path nor a DuckLake that can be used; what is wrong, without the text, which may hold a
            password.
    """
    if isinstance(named, Lake):
        return named
    if not isinstance(named, str | Path):
        raise ValueError(  # noqa: TRY004 - what pydantic takes for a wrong value
            "not a path and not ducklake:postgres:… or ducklake:sqlite:FILE"
        )
    text = str(named)
    if not text.startswith(LAKE):
        return Path(text)
    match = _CATALOG.fullmatch(text.removeprefix(LAKE))
    if match is None:
        raise ValueError("a DuckLake is named ducklake:postgres:dbname=NAME host=HOST … or ducklake:sqlite:FILE")
    if _PASSWORD.search(text):
        raise ValueError(
            "a secret does not belong here; use STILLWATCH_STORE__CATALOG_PASSWORD or store.catalog_password_file"
        )
    if match[1] == "sqlite":
        return Lake("sqlite", match[2])
    # A path on the command line loses one of two slashes, and a URI may hold a password in many ways.
    if ":/" in match[2]:
        raise ValueError("no URI here: name it by libpq's keywords, dbname=NAME host=HOST port=PORT user=USER")
    return Lake("postgres", match[2])


def beside(place: Place) -> Path:
    """A path on this machine that is the store's alone: what belongs to it stands beside it, under longer names.

    Of a file and of SQLite it is the file itself; of Postgres, in STATE, a name made from the catalog's.
    """
    if isinstance(place, Path):
        return place
    if place.kind == "sqlite":
        return Path(place.catalog)
    return STATE / f"ducklake-{hashlib.sha256(place.catalog.encode()).hexdigest()[:8]}"


def is_there(place: Place) -> bool:
    """Whether there is anything to open. Of Postgres that is not known before it is asked: taken to be."""
    return beside(place).is_file() or (isinstance(place, Lake) and place.kind == "postgres")
