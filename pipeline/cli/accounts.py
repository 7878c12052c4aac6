"""``accounts``: facts about accounts, and what people know that speaks for them."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, need_file, settings, store_path
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.serve.clearing import Clearing

app = typer.Typer(no_args_is_help=True, help="Facts about accounts.\n\nExample: stillwatch accounts import a.csv")

AccountsArgument = Annotated[list[str], typer.Argument(metavar="ACCOUNT…", help="Account ids, or their pseudonyms.")]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who says so; else the operating system's user.")
]

_CLEARED: Final = """
select
    clearances.account_id,
    if(
        findings.last_seen >= clearances.until, 'ran out', if(findings.last_seen is null, 'nothing found', 'holds')
    ) as state,
    clearances.reason,
    clearances.until,
    clearances.said_by,
    clearances.said_at,
    findings.score
from clearances
left join findings on clearances.account_id = findings.entity_id and findings.dimension = 'account'
where clearances.last_word and clearances.action = 'clear'
order by clearances.said_at desc, clearances.account_id
"""
_HISTORY: Final = """
select account_id, action, reason, until, said_by, said_at
from clearances
where account_id in (select unnest($accounts::varchar[])) or len($accounts::varchar[]) = 0
order by seq
"""


@app.callback()
def _group() -> None:
    """Facts about accounts."""


@app.command("import")
def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON, NDJSON or Parquet.")],
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import facts: account_id, created_at, plan, quota, payment_hash, email_domain, organisation, country, status.

    A running serve writes them, else the file is opened. Rules look again at what these accounts did.

    Example: stillwatch accounts import accounts.csv
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415
    from pipeline.serve.facts import import_facts  # noqa: PLC0415
    from pipeline.store.accounts import read_accounts  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    rows = read_accounts(need_file(file, next_step="name a CSV, JSON, NDJSON or Parquet file")).to_dicts()
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.import_accounts(rows)
    else:
        import_facts(path, rows, chosen, clock=SystemClock())
    typer.echo(f'{{"accounts":{len(rows)}}}' if as_json else f"{len(rows)} accounts imported")


@app.command()
def clear(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    accounts: AccountsArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What you know; kept in the history.")],
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="What they do from this moment (UTC) on counts again."),
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that accounts have an innocent explanation: they are not named, and leave their campaign.

    What was found stays in the view findings, with the reason. Nothing is forgotten: `accounts cleared --history`.
    A DATE without a time is the beginning of that day, UTC.

    Example: stillwatch accounts clear acct_17 --reason "nightly evaluation of a customer" --until 2026-03-01
    """
    from pipeline.serve.clearing import Clearing  # noqa: PLC0415

    end = parse_until(until) if until is not None else None
    _say(ctx, Clearing(tuple(accounts), "clear", by or user_name(), reason, end), store, config)
    shown = f" until {end:%Y-%m-%d %H:%M} UTC" if end is not None else ""
    many = "account" if len(accounts) == 1 else "accounts"
    typer.echo(f'{{"accounts":{len(accounts)}}}' if as_json else f"{len(accounts)} {many} cleared{shown}")


@app.command()
def unclear(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    accounts: AccountsArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why it is taken back; kept in the history.")
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back that accounts were cleared: what was found of them counts again, at once.

    Example: stillwatch accounts unclear acct_17 --reason "the customer knows nothing of it"
    """
    from pipeline.serve.clearing import Clearing  # noqa: PLC0415

    _say(ctx, Clearing(tuple(accounts), "unclear", by or user_name(), reason), store, config)
    many = "account" if len(accounts) == 1 else "accounts"
    typer.echo(f'{{"accounts":{len(accounts)}}}' if as_json else f"{len(accounts)} {many} no longer cleared")


@app.command()
def cleared(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    accounts: Annotated[
        list[str] | None, typer.Argument(metavar="[ACCOUNT…]", help="Whose history; else all that are cleared.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Every word that was said, not only the last.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is cleared, why, by whom and until when; with accounts, or --history, all that was ever said.

    `ran out` means that the account went on after its DATE, so that everything counts again.

    Example: stillwatch accounts cleared --history
    """
    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    with asker(store_path(store, chosen), chosen.store) as source:
        wanted = history or bool(accounts)
        params = {"accounts": accounts or []} if wanted else {}
        answer = source.query(
            _HISTORY if wanted else _CLEARED, params, max_rows=None, timeout_s=chosen.store.query_timeout_s
        )
    fmt = Format.JSON if as_json else Format.TABLE
    typer.echo(render(answer.table, fmt, width=None).decode().rstrip("\n"))


def parse_until(text: str) -> datetime:
    """A moment: RFC 3339, or a date for its beginning in UTC.

    Raises:
        UsageError: it is neither.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--until {text}: no date", next_step="write 2026-03-01 or 2026-03-01T12:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def user_name() -> str:
    """Who runs this, as the operating system knows; a number where the user has no name (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for the user; the type hangs on the version of Python
        return f"user {os.getuid()}"


def _say(ctx: typer.Context, said: Clearing, store: Path | None, config: Path | None) -> None:
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.clearing import check_clearing  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    checked = check_clearing(said)
    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.say_clearing(checked)
        return
    from pipeline.serve.facts import say_clearing  # noqa: PLC0415 - a client of serve needs no DuckDB

    say_clearing(path, checked, chosen, clock=SystemClock())
