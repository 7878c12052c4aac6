"""``alerts silence``: what fits is written and not told."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.accounts import ByOption, user_name
from pipeline.cli.alert_words import app
from pipeline.cli.alerts import ask, print_rows
from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.alerts.said import SilenceWord

__all__ = ["app"]  # of alerts, with the commands of all three modules

_SILENCES: Final = """
select
    silence_id,
    if(ends_at <= $now, 'over', if(starts_at > $now, 'to come', 'holds')) as state,
    matchers, reason, said_by, starts_at, ends_at, ended_by
from silences
where $over or ends_at > $now
order by ends_at, silence_id
"""


silences = typer.Typer(
    no_args_is_help=True,
    help="Silences: what fits is written and not told.\n\n"
    'Example: stillwatch alerts silence add rule=shared_client --for 4h --reason "load test"',
)
app.add_typer(silences, name="silence")


@silences.callback()
def _silences() -> None:
    """Silences: what fits is written and not told."""


@silences.command()
def add(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER…", help="FIELD=VALUE or FIELD!=VALUE, * for any text; all must fit."),
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    lasts: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="30m, 4h or 7d.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="In place of --for (UTC).")] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="From then on; else now.")] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold alerts back for a time. What still fires then is told then; what was told to be open is told to be over.

    Fields: alert, rule, severity, dimension, campaign, key, tag.

    Example: stillwatch alerts silence add "rule=shared_*" severity!=critical --for 4h --reason "load test"
    """
    from pipeline.alerts.said import SilenceWord  # noqa: PLC0415
    from pipeline.cli.releases import parse_when  # noqa: PLC0415

    if (lasts is None) == (until is None):
        raise UsageError("say either for how long or until when", next_step="--for 4h, or --until 2026-03-01")
    begin = parse_when(start) if start is not None else datetime.now(UTC)
    end = parse_when(until) if until is not None else begin + _duration(lasts or "")
    said = SilenceWord(said_by=by or user_name(), matchers=tuple(matchers), reason=reason, starts_at=begin, ends_at=end)
    silence_id = _silence(ctx, said, store, config)
    text = f"{silence_id}: from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    typer.echo(f'{{"silence_id":"{silence_id}"}}' if as_json else text)


@silences.command("list")
def list_silences(
    ctx: typer.Context,
    over: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List silences that hold, or are to.

    Example: stillwatch alerts silence list
    """
    answer = ask(settings(ctx, config), store, _SILENCES, {"now": datetime.now(UTC), "over": over})
    print_rows(answer, as_json=as_json, empty="no silence holds")


@silences.command()
def end(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    silence: Annotated[str, typer.Argument(metavar="SILENCE", help="Its id.")],
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence now.

    Example: stillwatch alerts silence end sil_0123456789ab
    """
    from pipeline.alerts.said import SilenceWord  # noqa: PLC0415

    silence_id = _silence(ctx, SilenceWord(said_by=by or user_name(), silence_id=silence), store, config)
    typer.echo(f'{{"silence_id":"{silence_id}"}}' if as_json else f"{silence_id}: over")


def _silence(ctx: typer.Context, said: SilenceWord, store: Path | None, config: Path | None) -> str:
    from pipeline.alerts.said import check_silence  # noqa: PLC0415
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    clock = SystemClock()
    checked = check_silence(said, clock.now())
    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            return str(client.silence(checked)["silence_id"])
    from pipeline.serve.facts import silence  # noqa: PLC0415

    silence(path, checked, chosen, clock=clock)
    return checked.silence_id or checked.new_id


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,5})(m|h|d)", text.strip())
    if found is None:
        raise UsageError(f"{text!r}: no duration", next_step="write 30m, 4h or 7d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})
