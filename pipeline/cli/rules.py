"""``rules``: what is looked for."""

from __future__ import annotations

import typer

from pipeline.cli import rules_sigma

app = typer.Typer(
    no_args_is_help=True,
    help="Rules: what is looked for.\n\nExample: stillwatch rules import-sigma sigma.yml --directory rules",
)


@app.callback()
def _group() -> None:
    """Rules."""


rules_sigma.register(app)
