"""``releases``: when models were released, by which it shows who turns to a new one within hours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.accounts import ByOption, user_name
from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.serve.releases import Release

app = typer.Typer(
    no_args_is_help=True,
    help="When models were released.\n\nExample: stillwatch releases add aurora-5 2026-03-01T09:00:00Z",
)
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="As requests name it.")]

_LIST: Final = "select model, released_at, note, said_by, said_at from releases order by released_at desc, model asc"
_HISTORY: Final = "select model, action, released_at, note, said_by, said_at from release_words order by seq"


@app.callback()
def _group() -> None:
    """When models were released."""


@app.command()
def add(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    model: ModelArgument,
    when: Annotated[str, typer.Argument(metavar="WHEN", help="2026-03-01T09:00:00Z; a date is its beginning, UTC.")],
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Kept in the history.")] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say when a model was released, in place of what was said of it before.

    A running serve writes it, else the file is opened. Rules look again at the last 36 hours of event time, so say it
    on the day. Moments ahead count once event time gets there.

    Example: stillwatch releases add aurora-5 2026-03-01T09:00:00Z --note "general availability"
    """
    from pipeline.serve.releases import Release  # noqa: PLC0415

    moment = parse_when(when)
    _say(ctx, Release(model, "add", by or user_name(), moment, note), store, config)
    shown = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(_as_json(model, moment) if as_json else f"{model}: released {shown}")


@app.command("list")
def list_releases(
    ctx: typer.Context,
    history: Annotated[bool, typer.Option("--history", help="Every word that was said, not only the last.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List when models were released, as somebody said; with --history all that was ever said.

    Example: stillwatch releases list --history
    """
    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    with asker(store_path(store, chosen), chosen.store) as source:
        answer = source.query(_HISTORY if history else _LIST, max_rows=None, timeout_s=chosen.store.query_timeout_s)
    fmt = Format.JSON if as_json else Format.TABLE
    typer.echo(render(answer.table, fmt, width=None).decode().rstrip("\n"))


@app.command()
def remove(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    model: ModelArgument,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; kept in the history.")] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back when a model was released, and what rules said by it; the history stays.

    Example: stillwatch releases remove aurora-5 --note "it was postponed"
    """
    from pipeline.serve.releases import Release  # noqa: PLC0415

    _say(ctx, Release(model, "remove", by or user_name(), None, note), store, config)
    typer.echo(_as_json(model, None) if as_json else f"{model}: taken back")


def parse_when(text: str) -> datetime:
    """A moment: RFC 3339, or a date for its beginning in UTC.

    Raises:
        UsageError: it is neither.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r}: no date", next_step="write 2026-03-01 or 2026-03-01T09:00:00Z") from None


def _say(ctx: typer.Context, said: Release, store: Path | None, config: Path | None) -> None:
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.serve.releases import check_release  # noqa: PLC0415

    checked = check_release(said)
    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.say_release(checked)
        return
    from pipeline.serve.facts import say_release  # noqa: PLC0415 - a client of serve needs no DuckDB

    say_release(path, checked, chosen, clock=SystemClock())


def _as_json(model: str, moment: datetime | None) -> str:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode({"model": model, "released_at": moment}).decode()
