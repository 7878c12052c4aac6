"""``explain``: why an account is named, or accounts are taken for a campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, StoreOption, settings, store_path
from pipeline.errors import StoreError, UsageError

FORMATS = "text | json | html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="ACCOUNT|CAMPAIGN", help="An id; account:ID, campaign:ID.")],
    store: StoreOption = None,
    format_name: Annotated[
        str | None, typer.Option("--format", "-f", metavar="FORMAT", help=f"{FORMATS}; else by the ending of FILE.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to a file.")] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Explain an account or a campaign: what was seen, how unusual it is, and what else could explain it.

    A running serve answers, else the file is opened read-only. HTML is one file that loads nothing.

    Example: stillwatch explain acct_17 --out acct_17.html
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415 - help stays quick
    from pipeline.explain import FORMATS as known  # noqa: N811, PLC0415
    from pipeline.explain import explain as build  # noqa: PLC0415
    from pipeline.explain import render  # noqa: PLC0415
    from pipeline.rules.load import usable_rules  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    if as_json and format_name not in {None, "json"}:
        raise UsageError(f"--json and --format {format_name} exclude each other", next_step="give one of them")
    ending = out.suffix.removeprefix(".") if out is not None else ""
    wanted = (
        "json"
        if as_json
        else format_name or ("html" if ending in {"html", "htm"} else "json" if ending == "json" else "text")
    )
    form = next((item for item in known if item == wanted), None)
    if form is None:
        raise UsageError(f"--format {wanted}: not known", next_step=f"one of {FORMATS}")
    chosen = settings(ctx, config)
    found = usable_rules(chosen.rules)
    if found.problems:
        said = "\n  ".join(("note: what a rule says about itself is missing where it cannot be used:", *found.problems))
        typer.echo(said, err=True)
    with asker(store_path(store, chosen), chosen.store) as source:
        report = build(source, subject, rules=found.active(), settings=chosen)
    content = render(report, form, written_at=SystemClock().now())
    if out is None:
        sys.stdout.buffer.write(content)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise StoreError(f"{out}: {error.strerror}", next_step="name a file that can be written") from error
