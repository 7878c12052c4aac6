"""``config``: every setting and where it came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, loaded

app = typer.Typer(no_args_is_help=True, help="The settings.\n\nExample: stillwatch config show")


@app.callback()
def _group() -> None:
    """The settings."""


@app.command()
def show(
    ctx: typer.Context,
    config: ConfigOption = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Without your file and environment: name, default, meaning.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting, its value and its source; secrets only as set or unset.

    Example: stillwatch config show --json
    """
    from pipeline.config import Loaded, Settings  # noqa: PLC0415

    found = Loaded(Settings(), {}) if defaults else loaded(ctx, config)
    rows = list(found.rows())
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    wide = max(len(row.name) for row in rows)
    for row in rows:
        note = row.meaning if defaults else f"({row.source})"
        typer.echo(f"{row.name:{wide}}  {json.dumps(row.value, ensure_ascii=False)}  {note}".rstrip())
