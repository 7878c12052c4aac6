"""``alerts``: what people are told of, and what they say about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.serve.view import Answer

app = typer.Typer(no_args_is_help=True, help="Alerts: see, take on, judge, silence.\n\nExample: stillwatch alerts list")

AlertArgument = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or the beginning of it.")]
AlertsArgument = Annotated[list[str], typer.Argument(metavar="ALERT…", help="Ids, or their beginnings.")]
NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Kept in the history.")]
STATES: Final = ("open", "any", "pending", "firing", "acknowledged", "resolved")

_LIST: Final = """
select alert_id, state, severity, rule_id, title, accounts, score, opened_at, updated_at, assignee, verdict
from alerts
where
    ($state = 'any' or state = $state or ($state = 'open' and state <> 'resolved'))
    and ($rule is null or rule_id = $rule)
    and ($severity is null or severity = $severity)
    and ($assignee is null or assignee = $assignee)
order by
    state = 'resolved', list_position(['critical', 'high', 'medium', 'low'], severity), updated_at desc, alert_id asc
limit $rows
"""
_HISTORY: Final = """
select happened_at, what, text, by_whom, delivery
from (
    select
        created_at as happened_at,
        type as what,
        severity || ', ' || accounts || if(accounts = 1, ' account', ' accounts') as text,
        null as by_whom,
        delivery,
        seq as number
    from alert_events
    where alert_id = $alert
    union all
    select
        said_at,
        action,
        concat_ws(': ', value, note),
        said_by,
        null,
        seq
    from alert_words
    where alert_id = $alert
)
order by happened_at, by_whom nulls first, number
"""
_EXPORT: Final = """
select
    alerts.*,
    (
        select list(told order by told.seq)
        from (select * exclude (alert_id) from alert_events where alert_events.alert_id = alerts.alert_id) as told
    ) as events,
    (
        select list(said order by said.seq)
        from (select * exclude (alert_id) from alert_words where alert_words.alert_id = alerts.alert_id) as said
    ) as words
from alerts
where updated_at >= coalesce($since, '-infinity'::timestamptz)
order by updated_at, alert_id
"""


@app.callback()
def _group() -> None:
    """Alerts: see, take on, judge, silence."""


@app.command("list")
def list_alerts(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    state: Annotated[str, typer.Option(metavar="STATE", help=f"One of {', '.join(STATES)}.")] = "open",
    rule: Annotated[
        str | None, typer.Option(metavar="RULE", help="Of this rule; campaign and account are some.")
    ] = None,
    severity: Annotated[str | None, typer.Option(metavar="SEVERITY", help="low, medium, high or critical.")] = None,
    assignee: Annotated[str | None, typer.Option(metavar="NAME", help="Assigned to them.")] = None,
    rows: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Rows at most.")] = 100,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alerts, the worst first: those that are not over, unless --state says otherwise.

    Example: stillwatch alerts list --severity critical
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is no state", next_step=f"say one of {', '.join(STATES)}")
    told = {"state": state, "rule": rule, "severity": severity, "assignee": assignee, "rows": rows}
    answer = ask(settings(ctx, config), store, _LIST, told)
    print_rows(answer, as_json=as_json, empty="no alerts")


@app.command()
def show(
    ctx: typer.Context,
    alert: AlertArgument,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one alert, its history, and the query that shows its evidence.

    Example: stillwatch alerts show alt_3f2a
    """
    from pipeline.cli.render import plain  # noqa: PLC0415

    chosen = settings(ctx, config)
    alert_id = full_id(chosen, store, alert)
    [row] = ask(chosen, store, "select * from alerts where alert_id = $alert", {"alert": alert_id}).table.to_pylist()
    history = ask(chosen, store, _HISTORY, {"alert": alert_id})
    if as_json:
        print_json({**row, "history": history.table.to_pylist()})
        return
    for name, value in row.items():
        if name != "evidence_sql":
            typer.echo(f"{name:18}{plain(value)}")
    typer.echo(f"\nstillwatch sql {_quoted(row['evidence_sql'])}\n")
    print_rows(history, as_json=False, empty="")


@app.command()
def history(
    ctx: typer.Context,
    alert: AlertArgument,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to an alert, event by event, and what people said about it.

    Example: stillwatch alerts history alt_3f2a
    """
    chosen = settings(ctx, config)
    answer = ask(chosen, store, _HISTORY, {"alert": full_id(chosen, store, alert)})
    print_rows(answer, as_json=as_json, empty="")


@app.command()
def export(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only what was told from then on (UTC).")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Write all alerts with their history, one JSON object a line.

    Example: stillwatch alerts export --since 2026-03-01 > alerts.ndjson
    """
    from pipeline.cli.releases import parse_when  # noqa: PLC0415
    from pipeline.cli.render import Format, render  # noqa: PLC0415

    start = parse_when(since) if since is not None else None
    answer = ask(settings(ctx, config), store, _EXPORT, {"since": start}, whole=True)
    typer.echo(render(answer.table, Format.NDJSON).decode(), nl=False)


def full_id(chosen: Settings, store: Path | None, beginning: str) -> str:
    """The id that begins so. Raises UsageError: none does, or several do."""
    answer = ask(
        chosen,
        store,
        "select alert_id from alerts where starts_with(alert_id, $beginning) order by alert_id limit 4",
        {"beginning": beginning},
    )
    found = [row["alert_id"] for row in answer.table.to_pylist()]
    if beginning in found or len(found) == 1:
        return beginning if beginning in found else str(found[0])
    if not found:
        raise UsageError(f"there is no alert {beginning}", next_step="stillwatch alerts list --state any")
    raise UsageError(f"{beginning} could be {', '.join(found[:3])}", next_step="write more of it")


def ask(chosen: Settings, store: Path | None, sql: str, params: Mapping[str, object], *, whole: bool = False) -> Answer:
    """Rows of a query, from a running serve or the file."""
    from pipeline.serve.ask import asker  # noqa: PLC0415

    with asker(store_path(store, chosen), chosen.store) as source:
        rows = None if not whole else chosen.store.query_rows
        return source.query(sql, params, max_rows=rows, timeout_s=chosen.store.query_timeout_s)


def print_rows(answer: Answer, *, as_json: bool, empty: str) -> None:
    """As a table, or JSON; ``empty`` where there is nothing to show."""
    from pipeline.cli.render import Format, render  # noqa: PLC0415

    if not as_json and not answer.table.num_rows:
        typer.echo(empty)
        return
    fmt = Format.JSON if as_json else Format.TABLE
    typer.echo(render(answer.table, fmt, width=None).decode().rstrip("\n"))


def print_json(value: object) -> None:
    """One value for programs."""
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.Encoder(decimal_format="number").encode(value).decode())


def _quoted(sql: str) -> str:
    """For a shell: in double quotes where nothing in it means anything to one, since names stand in single ones."""
    import shlex  # noqa: PLC0415

    return shlex.quote(sql) if set(sql) & set('"$`\\!') else f'"{sql}"'
