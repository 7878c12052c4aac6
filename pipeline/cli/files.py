"""``produce``, ``analyze``, ``simulate``: files in, files out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import settings
from pipeline.errors import InputNotFoundError

FilesArgument = Annotated[
    list[Path], typer.Argument(help="JSON, NDJSON (.gz, .zst), Arrow, Parquet, OTLP .pb; - stdin.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(produce)
    app.command()(analyze)
    app.command()(simulate)


def produce(
    ctx: typer.Context,
    files: FilesArgument,
    rate: Annotated[float | None, typer.Option(help="Messages a second at most.")] = None,
    pack: Annotated[int, typer.Option(min=1, help="Lines of NDJSON joined to one message.")] = 1,
) -> None:
    """Send files to the topic of raw events; says how many messages the broker confirmed.

    Example: stillwatch produce traffic.ndjson --rate 5000
    """
    _must_exist(files)
    from pipeline.ingest.files import input_size, read_files  # noqa: PLC0415
    from pipeline.ingest.produce import produce as send  # noqa: PLC0415

    chosen = settings(ctx)
    total = input_size(files)
    with _progress("sending") as progress:
        frames = read_files(files, consumed=lambda done: progress(done, total))
        confirmed = send(frames, chosen, rate=rate, pack=pack)
    typer.echo(f"{confirmed} messages confirmed in {chosen.topics.requests}")


def analyze(
    ctx: typer.Context,
    files: FilesArgument,
    store: Annotated[Path, typer.Option("--store", help="The store to write; made when it is not there.")],
) -> None:
    """Read files into a store, without a broker; the same operators.

    Example: stillwatch analyze traffic.ndjson --store try.duckdb
    """
    _must_exist(files)
    from pipeline.analyze import analyze as run  # noqa: PLC0415
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.metrics import Metrics  # noqa: PLC0415

    with _progress("reading") as progress:
        result = run(files, store, settings(ctx), clock=SystemClock(), metrics=Metrics(), progress=progress)
    typer.echo(str(result))


def simulate(  # noqa: PLR0917 - typer takes options by name
    scenario: Annotated[str, typer.Argument(help="demo, benign, campaign or load.")],
    out: Annotated[Path, typer.Option("--out", help="NDJSON file; the truth is written beside it.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    minutes: Annotated[float | None, typer.Option(min=1, help="Minutes of event time.")] = None,
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts of the planted campaign.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Directory of prompts, instead of the built-in ones.")] = None,
    traces: Annotated[Path | None, typer.Option(help="Directory of timings, instead of the built-in ones.")] = None,
) -> None:
    """Make labelled traffic; send it with `produce`.

    Example: stillwatch simulate demo --seed 7 --out traffic.ndjson
    """
    from pipeline.simulate import write_simulation  # noqa: PLC0415

    duration = None if minutes is None else timedelta(minutes=minutes)
    written = write_simulation(
        scenario, seed=seed, out=out, duration=duration, accounts=accounts, prompts=prompts, traces=traces
    )
    typer.echo(str(written))


def _must_exist(files: list[Path]) -> None:
    missing = [str(path) for path in files if str(path) != "-" and not path.is_file()]
    if missing:
        raise InputNotFoundError(f"{', '.join(missing)}: no such file", next_step="name files that are there, or -")


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, only on a terminal; called with what is done and what there is."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(verb, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield show
