"""``produce``, ``analyze``, ``simulate``: files in, files or messages out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, named_store, need_file, settings
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Settings

FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="JSON, NDJSON (.gz, .zst), Arrow, Parquet, OTLP .pb; - stdin."),
]
TopicOption = Annotated[str | None, typer.Option("--topic", metavar="NAME", help="Else `topics.requests`.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(produce)
    app.command()(analyze)
    app.command()(simulate)


def produce(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    files: FilesArgument,
    topic: TopicOption = None,
    rate: Annotated[float | None, typer.Option(min=0.001, metavar="N", help="Messages a second at most.")] = None,
    pack: Annotated[int, typer.Option(min=1, metavar="N", help="Lines of NDJSON joined to one message.")] = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send files to the topic of raw events; says how many messages the broker confirmed.

    Example: stillwatch produce traffic.ndjson --rate 5000
    """
    _need_files(files)
    import msgspec  # noqa: PLC0415

    from pipeline.ingest.files import input_size, read_files  # noqa: PLC0415
    from pipeline.ingest.produce import produce as send  # noqa: PLC0415

    chosen = _to_topic(settings(ctx, config), topic)
    total = input_size(files)
    with progress("sending") as shown:
        frames = read_files(files, consumed=lambda done: shown(done, total))
        confirmed = send(frames, chosen, rate=rate, pack=pack)
    told = {"topic": chosen.topics.requests, "confirmed": confirmed}
    typer.echo(
        msgspec.json.encode(told).decode() if as_json else f"{confirmed} messages confirmed in {chosen.topics.requests}"
    )


def analyze(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    files: FilesArgument,
    store: Annotated[
        Path, typer.Option("--store", metavar="FILE", help="The store to write; made when it is not there.")
    ],
    accounts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Facts about accounts, as `accounts import` takes; several rules need them."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read files into a store, without a broker; the same operators.

    Example: stillwatch analyze traffic.ndjson --accounts traffic.accounts.ndjson --store try.duckdb
    """
    _need_files(files)
    import msgspec  # noqa: PLC0415

    from pipeline.analyze import analyze as run  # noqa: PLC0415
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.metrics import Metrics  # noqa: PLC0415
    from pipeline.store.accounts import read_accounts  # noqa: PLC0415

    chosen = settings(ctx, config)
    facts = (
        read_accounts(need_file(accounts, next_step="name a CSV, JSON, NDJSON or Parquet file")).to_dicts()
        if accounts is not None
        else ()
    )
    try:
        with progress("reading") as shown:
            result = run(
                files,
                named_store(store),
                chosen,
                clock=SystemClock(),
                metrics=Metrics(),
                accounts=facts,
                progress=shown,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {store} has a part of the input → delete it before the next try", err=True)
        raise
    typer.echo(msgspec.json.encode(result).decode() if as_json else str(result))


def _scenarios() -> list[str]:
    from pipeline.simulate import SCENARIOS  # noqa: PLC0415

    return list(SCENARIOS)


def simulate(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO", help="demo, benign, campaign or load.", autocompletion=_scenarios),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="NDJSON file; the truth is written beside it.")
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option("--topic", metavar="NAME", help="Send it there; without --out the truth is written here."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same bytes.")] = 7,
    minutes: Annotated[float | None, typer.Option(min=1, metavar="N", help="Minutes of event time.")] = None,
    accounts: Annotated[int | None, typer.Option(min=1, metavar="N", help="Accounts of the planted campaign.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of prompts, instead of the built-in ones.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of timings, instead of the built-in ones.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make labelled traffic: to a file for `produce` and `analyze`, or straight to a topic, with accounts' facts.

    Example: stillwatch simulate demo --seed 7 --out traffic.ndjson
    """
    import msgspec  # noqa: PLC0415

    from pipeline.simulate import plan, send_simulation, write_simulation, write_truth  # noqa: PLC0415

    if out is None and topic is None:
        raise UsageError("where to?", next_step="add --out FILE, or --topic api.requests")
    if out is not None and out.is_dir():
        raise UsageError(f"{out}: a directory, not a file", next_step="name the file that is to be written")
    chosen = settings(ctx, config)
    duration = None if minutes is None else timedelta(minutes=minutes)
    planned = plan(scenario, seed=seed, duration=duration, campaign_accounts=accounts, prompts=prompts, traces=traces)
    truth = write_truth(planned, out or Path(f"{scenario}.ndjson"))
    if out is not None:
        write_simulation(planned, out)
    if topic is not None:
        with progress("sending") as shown:
            send_simulation(planned, _to_topic(chosen, topic), progress=shown)
    told = {"messages": planned.truth.messages, "file": out and str(out), "topic": topic, **truth.named()}
    where = " and in ".join(str(place) for place in (out, topic) if place is not None)
    typer.echo(
        msgspec.json.encode(told).decode() if as_json else f"{planned.truth.messages} messages in {where}; {truth}"
    )


def _to_topic(chosen: Settings, topic: str | None) -> Settings:
    if topic is None:
        return chosen
    return chosen.model_copy(update={"topics": chosen.topics.model_copy(update={"requests": topic})})


def _need_files(files: list[Path]) -> None:
    for path in files:
        if str(path) != "-":
            need_file(path, next_step="name files that are there, or -")


@contextmanager
def progress(verb: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, only on a terminal; called with what is done and what there is."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(verb, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield show
