"""``store``: backup, restore, verify, migrate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, named_store, need_store, settings, store_path

app = typer.Typer(no_args_is_help=True, help="The store's file.\n\nExample: stillwatch store verify")


@app.command()
def backup(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A path that is not there yet.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the store, consistent at any time; a running serve writes the copy.

    Example: stillwatch store backup /backup/stillwatch-monday
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.store import Store  # noqa: PLC0415
    from pipeline.store.backup import backup as copy  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.backup(target)
    else:
        need_store(path)
        with Store.open(path, chosen.store, clock=SystemClock()) as opened:
            copy(opened, target)
    typer.echo(json.dumps({"backup": str(target)}) if as_json else f"backup written to {target}")


@app.command()
def restore(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A backup.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a store from a backup; serve must not be running.

    Example: stillwatch store restore /backup/stillwatch-monday --store new.duckdb
    """
    from pipeline.errors import StoreLockedError  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.store.backup import restore as put_back  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            raise StoreLockedError(f"{path}: served by process {client.address.pid}", next_step="stop serve first")
    put_back(source, path)
    told = {"store": str(path), "backup": str(source)}
    typer.echo(json.dumps(told) if as_json else f"{path} restored from {source}")


@app.command()
def verify(
    ctx: typer.Context,
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="A store or backup; else `store.path`.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check sums and invariants; exit code 74 when something is wrong. A file, but no DuckLake, must not be in use.

    Example: stillwatch store verify /backup/stillwatch-monday
    """
    import msgspec  # noqa: PLC0415

    from pipeline.config import Lake, StoreSettings  # noqa: PLC0415
    from pipeline.store.backup import verify as check  # noqa: PLC0415

    place = named_store(path) if path is not None else settings(ctx, config).store.path
    done = check(place, settings(ctx, config).store if isinstance(place, Lake) else StoreSettings())
    typer.echo(msgspec.json.encode(done, enc_hook=str).decode() if as_json else str(done))


@app.command()
def migrate(
    ctx: typer.Context,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a file of an older version to this one, where no serve does it at its start. Back it up first.

    Example: stillwatch store migrate --store old.duckdb
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.store import Store  # noqa: PLC0415
    from pipeline.store.migrate import stored_version  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = need_store(store_path(store, chosen))
    with Store.open(path, chosen.store, clock=SystemClock()) as opened:
        version = stored_version(opened.connection)
    told = {"store": str(path), "version": version}
    typer.echo(json.dumps(told) if as_json else f"{path}: version {version}")
