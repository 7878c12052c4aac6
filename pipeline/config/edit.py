"""Changes a value of the settings' file in place: comments, order and everything else stay."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array

from pipeline.errors import ConfigError


def change_list(
    file: Path, section: str, name: str, *, add: Collection[str] = (), remove: Collection[str] = ()
) -> list[str]:
    """Add to and remove from a list of texts; return it as it is now. Written whole or not at all; repeating is safe.

    Raises:
        ConfigError: the file is no TOML, or has something else in that place.
        OSError: it cannot be written.
    """
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}", next_step="correct the file") from error
    table = document.setdefault(section, tomlkit.table())
    values = table.setdefault(name, tomlkit.array()) if hasattr(table, "setdefault") else None
    if not isinstance(values, Array):
        raise ConfigError(f"{file}: {section}.{name} is no list", next_step="correct the file")
    for value in sorted(remove):
        while value in values:
            values.remove(value)
    for value in sorted(add):
        if value not in values:
            values.append(value)
    _replace(file, tomlkit.dumps(document))
    return [str(value) for value in values]


def _replace(file: Path, text: str) -> None:
    target = file.resolve()  # of a link, what it leads to
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as made:
            made.write(text)
            made.flush()
            os.fsync(made.fileno())
        shutil.copymode(target, name)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
