"""``dead-letter``: what could not be read, and sending it again once the cause is mended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path

if TYPE_CHECKING:
    from pipeline.config import Settings

app = typer.Typer(no_args_is_help=True, help="What could not be read.\n\nExample: stillwatch dead-letter list")

BY_REASON: Final = (
    "select reason, format, count(*) as items, min(seen_at) as first_seen, max(seen_at) as last_seen,"
    " any_value(detail) as example from dead_letters group by all order by items desc"
)
SHOW: Final = (
    "select * from dead_letters where ($reason is null or reason = $reason)"
    " and ($offset is null or source_offset = $offset) order by seen_at desc limit $rows"
)


def _reasons() -> list[str]:
    from pipeline.events.schema import Reason  # noqa: PLC0415

    return list(get_args(Reason))


ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="Only of this reason.", autocompletion=_reasons)
]
OffsetOption = Annotated[int | None, typer.Option("--offset", metavar="N", help="Only of the message at this offset.")]


@app.command("list")
def list_reasons(
    ctx: typer.Context, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Count them by reason.

    Example: stillwatch dead-letter list --json
    """
    _answer(settings(ctx, config), store, BY_REASON, {}, as_json=as_json)


@app.command()
def show(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    reason: ReasonOption = None,
    offset: OffsetOption = None,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, newest first.")] = 20,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show single ones with their payload as far as it was kept.

    Example: stillwatch dead-letter show --reason no_account --rows 5
    """
    _answer(settings(ctx, config), store, SHOW, {"reason": reason, "offset": offset, "rows": rows}, as_json=as_json)


@app.command()
def replay(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    reason: ReasonOption = None,
    offset: OffsetOption = None,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 10_000,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send those that are whole back to the topic of raw events. Exit code 1 when some are not.

    Example: stillwatch dead-letter replay --reason no_account
    """
    import msgspec  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415

    from pipeline.ingest.replay import replay as send  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    params = {"reason": reason, "offset": offset, "rows": rows}
    with asker(store_path(store, chosen), chosen.store) as source:
        found = source.query(SHOW, params, max_rows=rows, timeout_s=chosen.store.query_timeout_s).table
    done = send(pl.DataFrame(found), chosen)
    typer.echo(msgspec.json.encode(done).decode() if as_json else str(done))
    raise typer.Exit(1 if done.refused else 0)


def _answer(chosen: Settings, store: Path | None, sql: str, params: dict[str, object], *, as_json: bool) -> None:
    import shutil  # noqa: PLC0415

    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    limits = chosen.store
    with asker(store_path(store, chosen), limits) as source:
        table = source.query(sql, params, max_rows=None, timeout_s=limits.query_timeout_s).table
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    sys.stdout.buffer.write(render(table, Format.JSON if as_json else Format.TABLE, width=width))
