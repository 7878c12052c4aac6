"""``rules backtest`` and ``rules explain-plan``: a rule over what is stored, without writing anything."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.files import progress
from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, settings, store_path
from pipeline.cli.releases import parse_when
from pipeline.cli.rule_options import RuleArgument, SetOption, find_rule, numbers, say_json
from pipeline.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pipeline.rules.backtest import Span

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="WHEN", help="A date or moment (UTC), or 7d: so long before the end.")
]
UntilOption = Annotated[
    str | None, typer.Option("--to", metavar="WHEN", help="A date or moment (UTC); else the end of what is stored.")
]
_AGO = re.compile(r"\d+[smhd]")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backtest)
    app.command("explain-plan")(explain_plan)


def backtest(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    rule_id: RuleArgument,
    since: FromOption = None,
    until: UntilOption = None,
    values: SetOption = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a plot.")] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, metavar="N", help="For a window; serve lowers it to its own.")
    ] = 600.0,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a rule over what is stored, window by window as live: how often it would have fired, on whom, how strongly.

    A running serve answers, else the file is opened read-only; nothing is written to either. Exit code 1 when of some
    windows nothing is known.

    Example: stillwatch rules backtest shared_client --from 7d --set min_accounts=20 --html shared_client.html
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415 - help stays quick
    from pipeline.rules import backtest as run  # noqa: PLC0415
    from pipeline.rules import backtest_shown as shown  # noqa: PLC0415
    from pipeline.rules.load import override  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    rule = override(find_rule(chosen, rule_id), numbers(values or [], "--set"))
    clock = SystemClock()
    with asker(store_path(store, chosen), chosen.store) as source:
        span = run.span_of(source, timeout_s=chosen.store.query_timeout_s)
        begin, end = _between(since, until, span)
        with progress("looking") as told:
            done = run.backtest(source, rule, span, begin, end, clock=clock, timeout_s=timeout_s, progress=told)
    if html is not None:
        try:
            html.write_bytes(shown.as_html(done, rule, written_at=clock.now()))
        except OSError as error:
            raise StoreError(f"{html}: {error.strerror}", next_step="name a file that can be written") from error
    if as_json:
        sys.stdout.write(shown.as_json(done).decode())
    else:
        typer.echo(shown.as_text(done, rule))
        if html is not None:
            typer.echo(f"\nplot in {html}")
    raise typer.Exit(1 if done.problems else 0)


def explain_plan(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    rule_id: RuleArgument,
    until: UntilOption = None,
    values: SetOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the store would go about a look of a rule: DuckDB's plan for one window, the last one unless you say.

    Example: stillwatch rules explain-plan shared_client
    """
    from pipeline.rules import backtest as run  # noqa: PLC0415 - help stays quick
    from pipeline.rules.load import override  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    rule = override(find_rule(chosen, rule_id), numbers(values or [], "--set"))
    limit_s = chosen.store.query_timeout_s
    with asker(store_path(store, chosen), chosen.store) as source:
        end = parse_when(until) if until is not None else run.span_of(source, timeout_s=limit_s).until
        answer = source.look(rule, end - rule.meta.window, end, explain=True, timeout_s=limit_s)
    plan = "\n".join(str(part["explain_value"]) for part in answer.table.to_pylist())
    if as_json:
        say_json({"id": rule_id, "since": end - rule.meta.window, "until": end, "plan": plan})
    else:
        typer.echo(plan.rstrip())


def _between(since: str | None, until: str | None, span: Span) -> tuple[datetime, datetime]:
    from pipeline.rules.model import duration  # noqa: PLC0415

    end = min(parse_when(until), span.until) if until is not None else span.until
    if since is None:
        begin = span.first
    elif _AGO.fullmatch(since):
        begin = end - duration(since)
    else:
        begin = parse_when(since)
    if begin >= end:
        raise UsageError(
            f"--from {begin:%Y-%m-%d %H:%M} is not before the end, {end:%Y-%m-%d %H:%M}",
            next_step=f"the store has events from {span.first:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M} UTC",
        )
    return begin, end
