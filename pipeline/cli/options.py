"""What every command shares: the global options, the settings they lead to, options used in several places."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from pipeline.config import Loaded, Place, Settings

StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="FILE", help="The store: its file, or ducklake:…; else `store.path`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file; else the global --config.")
]
ParentOption = Annotated[int | None, typer.Option("--parent", hidden=True)]


@dataclass(frozen=True, slots=True)
class Options:
    """The global options."""

    config: Path | None = None
    debug: bool = False


def loaded(ctx: typer.Context, config: Path | None = None) -> Loaded:
    """The checked settings with their sources; sets logging up too. Raises ConfigError."""
    from pipeline import logs  # noqa: PLC0415 - help stays quick
    from pipeline.config import load  # noqa: PLC0415

    options = ctx.find_object(Options) or Options()
    found = load(config or options.config)
    # Off standard output, which is the answer's; a service sets its own up after this. What went wrong is told by the
    # command's one line, not by the libraries below it.
    quiet = found.settings.log.model_copy(update={} if options.debug else {"level": "warning"})
    logs.configure(quiet, service="cli", libraries=options.debug)
    return found


def settings(ctx: typer.Context, config: Path | None = None) -> Settings:
    """The checked settings. Raises ConfigError."""
    return loaded(ctx, config).settings


def store_path(store: Path | None, chosen: Settings) -> Place:
    """The store a command is about.

    Raises:
        UsageError: what ``--store`` names is no DuckLake that can be used.
    """
    return chosen.store.path if store is None else named_store(store)


def named_store(named: Path) -> Place:
    """The store that an option or an argument names: a file, or a DuckLake.

    Raises:
        UsageError: no DuckLake that can be used.
    """
    from pipeline.config import place_of  # noqa: PLC0415

    try:
        return place_of(named)
    except ValueError as error:
        raise UsageError(f"the store: {error}", next_step="docs/ducklake.md shows how it is named") from None


def need_store(place: Place) -> Place:
    """The place of a store that is there: opened for writing, one that is not would be made.

    Raises:
        InputNotFoundError: there is no file, or it may not be read.
    """
    from pipeline.config import Lake, is_there  # noqa: PLC0415

    if not isinstance(place, Lake):
        return need_file(place, next_step="name a store by --store")
    if not is_there(place):
        raise InputNotFoundError(f"{place}: no DuckLake there", next_step="name a store by --store")
    return place


def need_file(path: Path, *, next_step: str) -> Path:
    """The path of something that can be opened for reading: a file, a pipe, a device.

    Raises:
        InputNotFoundError: it is not there, is a directory, or may not be read.
    """
    if not path.exists():
        raise InputNotFoundError(f"{path}: no such file", next_step=next_step)
    if path.is_dir():
        raise InputNotFoundError(f"{path}: a directory, not a file", next_step=next_step)
    if not os.access(path, os.R_OK):
        raise InputNotFoundError(f"{path}: this user may not read it", next_step=next_step)
    return path
