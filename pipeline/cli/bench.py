"""``bench``: what this machine needs an event, and what a load would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, need_file, settings

if TYPE_CHECKING:
    from pipeline.bench import Asked, Measured, Needs

FILE = Path("stillwatch-bench.json")

app = typer.Typer(help="What this machine needs an event, and what a load would take.", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def bench(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    events: Annotated[int, typer.Option(min=200_000, max=5_000_000, metavar="N", help="Events to send.")] = 500_000,
    accounts: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="Whose they are.")] = 20_000,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the figures are kept, for `bench plan`.")] = FILE,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure each stage on this machine, over made-up events without text; half a minute to two.

    Goes through your broker (kafka.bootstrap) or an embedded one, by topics that are deleted afterwards, into a store
    that is deleted too. Nothing else of your settings is used, and nobody is alerted.

    Example: stillwatch bench
    """
    if ctx.invoked_subcommand is not None:
        return
    import msgspec  # noqa: PLC0415

    from pipeline.bench import measure  # noqa: PLC0415
    from pipeline.cli.tree import broker_address  # noqa: PLC0415

    chosen = settings(ctx, config)
    with broker_address(chosen.kafka) as bootstrap:
        kafka = chosen.kafka.model_copy(update={"bootstrap": bootstrap})
        found = measure(
            chosen.model_copy(update={"kafka": kafka}),
            events=events,
            accounts=accounts,
            say=lambda what: typer.echo(f"{what} …", err=True),
        )
    written = msgspec.json.format(msgspec.json.encode(found), indent=1)
    out.write_bytes(written + b"\n")
    if as_json:
        typer.echo(written.decode())
        return
    typer.echo(f"{'':8}{'CPU-s/million':>14}{'events/s':>12}{'MB':>8}")
    for name, stage in found.stages.items():
        typer.echo(f"{name:8}{stage.cpu_s_per_million:>14.1f}{stage.events_per_s:>12,.0f}{stage.peak_mb:>8,.0f}")
    typer.echo(f"kept in {out}; what a load takes: stillwatch bench plan --events-per-second N --accounts N")


@app.command("plan")
def plan_load(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    events_per_second: Annotated[float, typer.Option(min=0.001, metavar="N", help="On average.")],
    accounts: Annotated[int, typer.Option(min=1, metavar="N", help="Active within two days.")],
    kafka_days: Annotated[float, typer.Option(min=0.0, metavar="N", help="How long Kafka keeps raw messages.")] = 1.0,
    measured: Annotated[Path, typer.Option(metavar="FILE", help="What `stillwatch bench` has kept.")] = FILE,
    core_month: Annotated[float, typer.Option(min=0.0, metavar="PRICE", help="Of a core for a month.")] = 0.0,
    gb_month: Annotated[float, typer.Option(min=0.0, metavar="PRICE", help="Of a GB of disk for a month.")] = 0.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a load would take of machines like the one that was measured.

    Example: stillwatch bench plan --events-per-second 10000 --accounts 100000
    """
    import msgspec  # noqa: PLC0415

    from pipeline.bench import Asked, Measured, plan  # noqa: PLC0415
    from pipeline.cli.rule_options import say_json  # noqa: PLC0415
    from pipeline.errors import UsageError  # noqa: PLC0415

    need_file(measured, next_step="measure first: stillwatch bench")
    try:
        found = msgspec.json.decode(measured.read_bytes(), type=Measured)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{measured}: {error}", next_step="measure again: stillwatch bench") from None
    asked = Asked(events_per_second, accounts, kafka_days)
    needs = plan(found, asked, settings(ctx, config).store)
    if as_json:
        say_json([needs])
        return
    for line in _told(found, asked, needs):
        typer.echo(line)
    if core_month or gb_month:
        disk_gb = needs.store_disk_gb + needs.kafka_disk_gb
        typer.echo(f"money         {needs.planned_cores * core_month + disk_gb * gb_month:,.0f} a month")


def _told(measured: Measured, asked: Asked, needs: Needs) -> list[str]:
    day = f"measured {measured.day}, {measured.cores} cores"
    lines = [
        f"{asked.events_per_s:,.0f} events/s, {asked.accounts:,} accounts; {day}",
        "",
        f"ingest        {_processes(needs.ingests)}, {needs.ingest_cores:.2f} cores",
        f"worker        {_processes(needs.workers)}, {needs.worker_cores:.2f} cores",
        f"serve         1 process, {needs.store_cores:.2f} cores for the store, {needs.rules_cores:.2f} for rules",
        f"partitions    {needs.partitions} (topics.partitions)",
        f"memory        {needs.memory_gb:.1f} GB, of it store.memory_limit_mb = {needs.store_memory_mb:,}",
        f"store         {needs.store_disk_gb:,.0f} GB once it is full (store.retention_…)",
        f"Kafka         {needs.kafka_disk_gb:,.0f} GB of raw messages, before compression, each replica",
    ]
    if not needs.serve_carries:
        lines.append("serve does not carry it: it is one process a store → split the accounts over several set-ups")
    if needs.rules_cores > 1:
        lines.append("rules take more than a core: those that take long rest, and look less often than each minute")
    return lines


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
