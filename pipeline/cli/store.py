"""``store``: backup, restore, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import StoreOption, settings, store_path

app = typer.Typer(no_args_is_help=True, help="The store's file.\n\nExample: stillwatch store verify")


@app.command()
def backup(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(help="A path that is not there yet.")],
    store: StoreOption = None,
) -> None:
    """Copy the store, consistent at any time; a running serve writes the copy.

    Example: stillwatch store backup /backup/stillwatch-monday
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.store import Store  # noqa: PLC0415
    from pipeline.store.backup import backup as copy  # noqa: PLC0415

    path = store_path(ctx, store)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.backup(target)
    else:
        with Store.open(path, settings(ctx).store, clock=SystemClock()) as opened:
            copy(opened, target)
    typer.echo(f"backup written to {target}")


@app.command()
def restore(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="A backup.")],
    store: StoreOption = None,
) -> None:
    """Make a store from a backup; serve must not be running.

    Example: stillwatch store restore /backup/stillwatch-monday --store new.duckdb
    """
    from pipeline.errors import StoreLockedError  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.store.backup import restore as put_back  # noqa: PLC0415

    path = store_path(ctx, store)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            raise StoreLockedError(f"{path}: served by process {client.address.pid}", next_step="stop serve first")
    put_back(source, path)
    typer.echo(f"{path} restored from {source}")


@app.command()
def verify(
    ctx: typer.Context,
    path: Annotated[Path | None, typer.Argument(help="A store or backup; else `store.path`.")] = None,
) -> None:
    """Check sums and invariants; exit code 1 (or 74) when something is wrong. Not while serve has the file.

    Example: stillwatch store verify /backup/stillwatch-monday
    """
    from pipeline.store.backup import verify as check  # noqa: PLC0415

    typer.echo(str(check(store_path(ctx, path))))
