"""``status`` and ``doctor``: how it stands, and what is wrong with this set-up."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(doctor)


def status(
    ctx: typer.Context,
    store: StoreOption = None,
    config: ConfigOption = None,
    sample_s: Annotated[float, typer.Option(min=0.1, metavar="N", help="Seconds over which rates are taken.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Show lag, watermark, rates, sizes and alerts of the running serve. Exit code 69 when none runs.

    Example: stillwatch status --json
    """
    import msgspec  # noqa: PLC0415

    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.status import lines, take_status  # noqa: PLC0415

    found = take_status(store_path(store, settings(ctx, config)), clock=SystemClock(), sample_s=sample_s)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        typer.echo("\n".join(f"{name:14} {value}" for name, value in lines(found)))


def doctor(
    ctx: typer.Context, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Check this set-up and say what to do about what is wrong. Exit code 1 when a check fails.

    Example: stillwatch doctor
    """
    import msgspec  # noqa: PLC0415

    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.doctor import broken_settings, examine  # noqa: PLC0415
    from pipeline.errors import ConfigError  # noqa: PLC0415

    try:
        chosen = settings(ctx, config)
    except ConfigError as error:
        findings = [broken_settings(error)]
    else:
        findings = examine(chosen, store_path(store, chosen), clock=SystemClock())
    if as_json:
        sys.stdout.write(msgspec.json.encode(findings).decode() + "\n")
    else:
        for item in findings:
            typer.echo(f"{item.state:5} {item.check:14} {item.detail}" + (f" → {item.todo}" if item.todo else ""))
    raise typer.Exit(1 if any(item.state == "fail" for item in findings) else 0)
