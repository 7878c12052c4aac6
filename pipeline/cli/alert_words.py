"""``alerts``, what people say about them: taken on, assigned, judged, over."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.accounts import ByOption, user_name
from pipeline.cli.alerts import AlertArgument, AlertsArgument, NoteOption, app, full_id, print_json
from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path

if TYPE_CHECKING:
    from pipeline.alerts.said import Action, AlertWord

__all__ = ["app"]  # with the commands of this module


@app.command()
def ack(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    alerts: AlertsArgument,
    note: NoteOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Nobody has it in hand after all.")] = False,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that somebody has it in hand: receivers are told, and reminders stop.

    Example: stillwatch alerts ack alt_3f2a --note "looking"
    """
    action: Action = "unack" if undo else "ack"
    _say(ctx, alerts, action, store, config, as_json=as_json, by=by, note=note)


@app.command()
def assign(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    alerts: AlertsArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help="Who looks after it; else nobody does.")
    ] = None,
    note: NoteOption = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who looks after an alert.

    Example: stillwatch alerts assign alt_3f2a --to ana
    """
    _say(ctx, alerts, "assign", store, config, as_json=as_json, by=by, value=to, note=note)


@app.command()
def note(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    alert: AlertArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be remembered.")],
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write something down about an alert.

    Example: stillwatch alerts note alt_3f2a "asked the customer"
    """
    _say(ctx, [alert], "note", store, config, as_json=as_json, by=by, note=text)


@app.command()
def verdict(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    alert: AlertArgument,
    value: Annotated[str, typer.Argument(metavar="VERDICT", help="true, false or benign-known.")],
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Kept in the history.")] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Clear all its accounts too, as `accounts clear` does.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="With --clear: what they do from then on counts again."),
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge an alert: true, false or benign-known. The last two end it. The view rule_verdicts adds up by rule.

    It comes back where new evidence does, unless its accounts are cleared.

    Example: stillwatch alerts verdict alt_3f2a benign-known --reason "nightly evaluation" --clear
    """
    from pipeline.cli.accounts import parse_until  # noqa: PLC0415

    end = parse_until(until) if until is not None else None
    _say(
        ctx, [alert], "verdict", store, config, as_json=as_json, by=by, value=value, note=reason, clear=clear, until=end
    )


@app.command()
def resolve(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    alerts: AlertsArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the history.")],
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that an alert is over. It comes back where new evidence does.

    Example: stillwatch alerts resolve alt_3f2a --reason "keys revoked"
    """
    _say(ctx, alerts, "resolve", store, config, as_json=as_json, by=by, note=reason)


def _say(
    ctx: typer.Context,
    alerts: list[str],
    action: Action,
    store: Path | None,
    config: Path | None,
    *,
    as_json: bool,
    by: str | None,
    value: str | None = None,
    note: str | None = None,
    clear: bool = False,
    until: datetime | None = None,
) -> None:
    from pipeline.alerts.said import AlertWord, check_alert_word  # noqa: PLC0415
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    chosen = settings(ctx, config)
    # Wrong words first: they need no store.
    check_alert_word(AlertWord(tuple(alerts), action, by or user_name(), value, note, clear, until))
    ids = tuple(dict.fromkeys(full_id(chosen, store, alert) for alert in alerts))
    said: AlertWord = AlertWord(ids, action, by or user_name(), value, note, clear, until)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.say_alert(said)
    else:
        from pipeline.serve.facts import say_alert  # noqa: PLC0415

        say_alert(path, said, chosen, clock=SystemClock())
    if as_json:
        print_json({"alerts": list(ids), "action": action})
    else:
        done = {"ack": "in hand", "unack": "in nobody's hand", "note": "written down", "resolve": "over"}
        word = f"assigned to {value or 'nobody'}" if action == "assign" else done.get(action, f"judged {value}")
        typer.echo(f"{', '.join(ids)}: {word}")
