"""What the demo shows of what was found; readable at 80 columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from pipeline.delivery.receiver import Received

ACCOUNTS: Final = 5
_SHOWN: Final = ("alert_id", "severity", "state", "title", "summary", "score", "accounts", "evidence_sql")


def show_campaign(console: Console, campaign: Mapping[str, Any]) -> None:
    """One campaign and why its accounts are taken for one, a sentence about all of them for each kind of evidence."""
    console.print(
        f"\n[bold]campaign {campaign['campaign_id']}[/]: {campaign['named_accounts']} accounts named, "
        f"mean score {campaign['score']:.2f}"
    )
    for reason in campaign["reasons"]:
        console.print(Padding(f"- {escape(reason)}", (0, 0, 0, 2)), highlight=False)


def show_accounts(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """The first of the suspicious accounts, each with the strongest of its reasons."""
    shown = min(ACCOUNTS, len(rows))
    table = Table(title=f"{len(rows)} suspicious accounts, the first {shown}", title_justify="left")
    table.add_column("account", no_wrap=True)
    table.add_column("score", no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in rows[:shown]:
        table.add_row(row["account_id"], f"{row['score']:.3f}", escape(row["reasons"][0]))
    console.print(table)


def show_alerts(console: Console, messages: Sequence[Received]) -> None:
    """What the receiver was told, in order, and the last of the evidence as it got it."""
    told = [(message, (message.payload or {}).get("type", "not verified")) for message in messages]
    for message, _ in [item for item in told if item[1] in {"alert.opened", "alert.updated"}][-1:]:
        _show_alert(console, message)
    console.print("\n[bold]all that it was told[/], the last two by a person (stillwatch alerts ack, resolve):")
    for message, kind in told:
        data = (message.payload or {}).get("data", {})
        verdict = "verified" if message.verified else f"NOT VERIFIED: {message.error}"
        console.print(f"  {kind}: {data.get('accounts')} accounts, {data.get('severity')}, {verdict}", highlight=False)


def _show_alert(console: Console, message: Received) -> None:
    """The alert as the receiver got it, less its lists; the whole body is in the store."""
    verdict = "[green]signature verified[/]" if message.verified else f"[red]NOT VERIFIED: {message.error}[/]"
    console.print(f"\n[bold]the alert as a local receiver got it[/]: {message.message_id}, {verdict}")
    payload = dict(message.payload or {})
    data = dict(payload.get("data", {}))
    told = {"type": payload.get("type"), "data": {name: data[name] for name in _SHOWN if name in data}}
    console.print_json(json.dumps(told, default=str))
