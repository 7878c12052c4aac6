"""``dead-letter``: what could not be read, and sending it again once the cause is mended."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from pipeline.cli.options import JsonOption, StoreOption, settings, store_path

app = typer.Typer(no_args_is_help=True, help="What could not be read.\n\nExample: stillwatch dead-letter list")

BY_REASON: Final = (
    "select reason, format, count(*) as items, min(seen_at) as first_seen, max(seen_at) as last_seen,"
    " any_value(detail) as example from dead_letters group by all order by items desc"
)
SHOW: Final = (
    "select * from dead_letters where ($reason is null or reason = $reason)"
    " and ($offset is null or source_offset = $offset) order by seen_at desc limit $rows"
)

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only of this reason.")]
OffsetOption = Annotated[int | None, typer.Option("--offset", help="Only of the message at this offset.")]


@app.command("list")
def list_reasons(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Count them by reason.

    Example: stillwatch dead-letter list --json
    """
    _answer(ctx, store, BY_REASON, {}, as_json=as_json)


@app.command()
def show(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    reason: ReasonOption = None,
    offset: OffsetOption = None,
    rows: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show single ones with their payload as far as it was kept.

    Example: stillwatch dead-letter show --reason no_account --rows 5
    """
    _answer(ctx, store, SHOW, {"reason": reason, "offset": offset, "rows": rows}, as_json=as_json)


@app.command()
def replay(
    ctx: typer.Context,
    reason: ReasonOption = None,
    offset: OffsetOption = None,
    rows: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10_000,
    store: StoreOption = None,
) -> None:
    """Send those that are whole back to the topic of raw events.

    Example: stillwatch dead-letter replay --reason no_account
    """
    import polars as pl  # noqa: PLC0415

    from pipeline.ingest.replay import replay as send  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx)
    params = {"reason": reason, "offset": offset, "rows": rows}
    with asker(store_path(ctx, store), chosen.store) as source:
        found = source.query(SHOW, params, max_rows=rows, timeout_s=chosen.store.query_timeout_s).table
    typer.echo(str(send(pl.DataFrame(found), chosen)))


def _answer(ctx: typer.Context, store: object, sql: str, params: dict[str, object], *, as_json: bool) -> None:
    import shutil  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    limits = settings(ctx).store
    path = store_path(ctx, store if isinstance(store, Path) else None)
    with asker(path, limits) as source:
        table = source.query(sql, params, max_rows=None, timeout_s=limits.query_timeout_s).table
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    sys.stdout.buffer.write(render(table, Format.JSON if as_json else Format.TABLE, width=width))
