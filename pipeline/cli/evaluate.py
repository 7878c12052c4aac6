"""``evaluate``: how often detection is right and how often it is wrong, on labelled traffic."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, need_file, settings
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import Settings
    from pipeline.evaluate.own import Own
    from pipeline.evaluate.score import RunScore


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    scenarios: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Of docs/simulate.md, with commas between; else every shape."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|N-M", help="Seeds of the worlds; else 1-10, with --quick 1.")
    ] = None,
    knowledge: Annotated[
        str, typer.Option(metavar="LEVELS", help="full, hashes, metadata; with commas between.")
    ] = "full",
    accounts: Annotated[int | None, typer.Option(min=1, help="Benign accounts a world; else 5,000.")] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="DIR", help="Real prompts instead of built-in ones.")] = None,
    traces: Annotated[Path | None, typer.Option(metavar="DIR", help="Real timings instead of built-in ones.")] = None,
    benign: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Your own traffic, taken as benign; campaigns are planted into it. Again."),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Facts about its accounts, as `accounts import` takes.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Judge other detectors on the same traffic.")] = True,
    every: Annotated[
        int | None, typer.Option("--every", min=1, max=24, help="Hours of event time between looks; else 2.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep worlds there as they end, and do not run those again that it has."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=2, help="Worlds at a time, about 1.8 GB each.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Two small worlds, to see that nothing fell apart.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there: .html, .json, .md, else text.")
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Simulate labelled worlds, run them through the pipeline, and say what was found, missed and falsely accused.

    About two minutes a world. Exits with 1 when a goal is missed. With --benign FILE, once for each file, the world is
    your own traffic, in any format that analyze reads.

    Example: stillwatch evaluate --seeds 1-10 --out evaluation.html
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415 - help stays quick
    from pipeline.evaluate import Plan, render  # noqa: PLC0415
    from pipeline.evaluate import evaluate as run  # noqa: PLC0415
    from pipeline.evaluate import run as plans  # noqa: PLC0415

    chosen = settings(ctx, config)
    whole = plans.quick(seed_list(seeds or "1")) if quick else plans.full(seed_list(seeds or "1-10"))
    what = Plan(
        tuple(scenarios.split(",")) if scenarios else whole.scenarios,
        whole.seeds,
        tuple(knowledge.split(",")),  # type: ignore[arg-type]
        accounts=accounts or whole.accounts,
        prompts=prompts,
        traces=traces,
        baselines=baselines and whole.baselines,
        step=timedelta(hours=every) if every else whole.step,
    )

    worlds = what.runs

    def tell(done: int, score: RunScore) -> None:
        typer.echo(f"{done} of {worlds} worlds: {_in_short(score)}", err=True)

    if benign:
        if len(what.knowledge) > 1 or what.knowledge[0] != "full" or accounts or prompts or traces or every or resume:
            raise UsageError(
                "--benign takes your traffic as it is",
                next_step="leave --knowledge, --accounts, --prompts, --traces, --every, --resume",
            )
        from pipeline.evaluate.own import evaluate_own, planting  # noqa: PLC0415

        own = own_traffic(benign, facts, chosen)
        shapes = planting(what.scenarios)
        worlds = 1 + len(shapes) * len(what.seeds)
        result = evaluate_own(own, shapes, what.seeds, chosen, progress=tell)
    elif facts is not None:
        raise UsageError("--facts are about the accounts of --benign", next_step="add --benign FILE")
    else:
        result = run(what, chosen, processes=processes, progress=tell, resume=resume)
    written = SystemClock().now()
    if out is not None:
        form = {".html": "html", ".htm": "html", ".json": "json", ".md": "markdown"}.get(out.suffix, "text")
        out.write_bytes(render(result, form, written_at=written))  # type: ignore[arg-type]
    if out is None or as_json:
        sys.stdout.buffer.write(render(result, "json" if as_json else "text", written_at=written))
        sys.stdout.buffer.flush()
    if result.missed:
        typer.echo(f"{len(result.missed)} goals missed: {'; '.join(result.missed)}", err=True)
        raise typer.Exit(1)


def _in_short(score: RunScore) -> str:
    named = ", ".join(f"{one.named} of {one.members} members named" for one in score.campaigns) or "nothing planted"
    return (
        f"{score.scenario}, {score.knowledge}, seed {score.seed}: {named}, {score.falsely_named} benign accounts named"
    )


def own_traffic(benign: Sequence[Path], facts: Path | None, chosen: Settings) -> Own:
    """Files of one's own, taken as benign; says how much was read. Raises UsageError, InputNotFoundError."""
    from pipeline.clock import SystemClock  # noqa: PLC0415 - help stays quick
    from pipeline.evaluate.own import read_own  # noqa: PLC0415
    from pipeline.store.accounts import read_accounts  # noqa: PLC0415

    for file in benign:
        need_file(file, next_step="name files that analyze reads")
    known = None if facts is None else read_accounts(need_file(facts, next_step="name a file of facts"))
    own = read_own(benign, known, chosen, now=SystemClock().now())
    typer.echo(f"read {own.events.height} events; {own.refused} items refused", err=True)
    return own


def seed_list(text: str) -> list[int]:
    """Seeds as ``7`` or ``1-10``. Raises UsageError."""
    first, _, last = text.partition("-")
    try:
        found = list(range(int(first), int(last or first) + 1))
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"--seeds {text}: no seeds", next_step="7, or 1-10")
    return found
