"""``calibrate``: how high benign accounts score, which is what scores are held against before anybody is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.evaluate import own_traffic, seed_list
from pipeline.cli.options import ConfigOption, JsonOption, settings
from pipeline.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Write there; `rules.reference` names it.")],
    benign: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Your own traffic, taken as benign, instead of simulated worlds. Again."),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Facts about its accounts, as `accounts import` takes.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N-M", help="Seeds of simulated worlds; else 101-116.")] = None,
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts a world; else 5,000.")] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="DIR", help="Real prompts instead of built-in ones.")] = None,
    traces: Annotated[Path | None, typer.Option(metavar="DIR", help="Real timings instead of built-in ones.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=2, help="Worlds at a time, about 1.8 GB each.")] = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how high benign accounts score, by what is known of them; a reference for `rules.reference`.

    Do it after rules or their parameters changed, or on your own traffic where it differs from the simulated: days in
    which nobody is known to distil. About three minutes a seed.

    Example: stillwatch calibrate --benign monday.ndjson --facts accounts.ndjson --out reference.json
    """
    from pipeline.detect.reference import write_reference  # noqa: PLC0415 - help stays quick
    from pipeline.evaluate import calibrate as measure  # noqa: PLC0415

    chosen = settings(ctx, config)
    if benign:
        if seeds or accounts or prompts or traces:
            raise UsageError(
                "--benign takes your traffic as it is", next_step="leave --seeds, --accounts, --prompts, --traces"
            )
        reference = measure.calibrate_own(own_traffic(benign, facts, chosen), chosen)
    elif facts is not None:
        raise UsageError("--facts are about the accounts of --benign", next_step="add --benign FILE")
    else:
        what = measure.Worlds(tuple(seed_list(seeds or "101-116")), accounts=accounts, prompts=prompts, traces=traces)
        reference = measure.calibrate(
            what,
            chosen,
            processes=processes,
            progress=lambda done: typer.echo(f"{done} of {what.runs} runs", err=True),
        )
    write_reference(reference, out)
    measured = [
        {
            "population": name,
            "accounts": one.accounts,
            "worlds": one.worlds,
            "highest_score": one.scores[-1][0] if one.scores else 0.0,
            "bound": one.bound,
        }
        for name, one in reference.populations.items()
    ]
    if as_json:
        typer.echo(json.dumps(measured))
        return
    typer.echo(f"measured on {reference.about}")
    for row in measured:
        typer.echo(
            "{population}: {accounts} accounts in {worlds} worlds, highest score {highest_score:.3f}, "
            "bound {bound:.3f}".format_map(row)
        )
