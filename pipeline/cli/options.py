"""What every command shares: the global options, the settings they lead to, options used in several places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.config import Loaded, Settings

StoreOption = Annotated[Path | None, typer.Option("--store", help="The store's file; else `store.path`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file; else the global --config.")]
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
    # Off standard output, which is the answer's; a service sets its own up after this.
    quiet = found.settings.log.model_copy(update={} if options.debug else {"level": "warning"})
    logs.configure(quiet, service="cli")
    return found


def settings(ctx: typer.Context, config: Path | None = None) -> Settings:
    """The checked settings. Raises ConfigError."""
    return loaded(ctx, config).settings


def store_path(ctx: typer.Context, store: Path | None) -> Path:
    """The store a command is about."""
    return store if store is not None else settings(ctx).store.path
