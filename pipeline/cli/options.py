"""What every command shares: the global options, the settings they lead to, options used in several places."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import InputNotFoundError

if TYPE_CHECKING:
    from pipeline.config import Loaded, Settings

StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="FILE", help="The store's file; else `store.path`.")
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


def store_path(store: Path | None, chosen: Settings) -> Path:
    """The store a command is about."""
    return store if store is not None else chosen.store.path


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
