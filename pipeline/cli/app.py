"""The Typer application: global options, and every command in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    accounts,
    alert_silences,
    bench,
    calibrate,
    completion,
    configuration,
    corpora,
    dead_letter,
    demo,
    evaluate,
    explain,
    files,
    health,
    releases,
    rules,
    rules_sigma,
    services,
    sql,
    store,
    webhook_deliveries,
)
from pipeline.cli.options import Options

app = typer.Typer(
    name="stillwatch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tells an AI provider which API accounts are distilling its models.\n\n"
    "Example: stillwatch up\n\n"
    "Exit codes: 0 done, 1 checks failed, 64 wrong words, 65 refused query or data, 66 no such file, "
    "69 no broker, 70 a mistake in stillwatch, 73 store open elsewhere, 74 store or disk, 78 settings.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stillwatch {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings file; else stillwatch.toml here.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    _ = version  # its callback has answered
    ctx.obj = Options(config, debug)


services.register(app)
files.register(app)
sql.register(app)
explain.register(app)
evaluate.register(app)
calibrate.register(app)
health.register(app)
demo.register(app)
app.add_typer(bench.app, name="bench")
app.add_typer(accounts.app, name="accounts")
app.add_typer(alert_silences.app, name="alerts")
app.add_typer(corpora.app, name="corpora")
app.add_typer(releases.app, name="releases")
rules_sigma.register(rules.app)
app.add_typer(rules.app, name="rules")
app.add_typer(webhook_deliveries.app, name="webhooks")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(store.app, name="store")
app.add_typer(configuration.app, name="config")
completion.register(app)
