"""``sql``: analyst questions, one at a time or in a prompt."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import StoreOption, settings, store_path
from pipeline.errors import InputNotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from pipeline.cli.render import Format

FORMATS = "table | json | ndjson | csv | parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    query: Annotated[str | None, typer.Argument(help="One SELECT; bare: an interactive prompt.")] = None,
    store: StoreOption = None,
    format_name: Annotated[str | None, typer.Option("--format", "-f", help=FORMATS)] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the query from a file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="k=v for $k; numbers are numbers.")] = None,
    saved: Annotated[str | None, typer.Option("--saved", help="A saved query by name.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="The saved queries.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Ask the store; a running serve answers, else the file is opened read-only.

    Example: stillwatch sql "select * from suspicious_accounts" --format csv --output found.csv
    """
    chosen = _format("json" if as_json else format_name, output)
    if show_list:
        _show_saved(chosen)
        return
    if sum(item is not None for item in (query, file, saved)) > 1:
        raise UsageError("a query, --file and --saved exclude each other", next_step="give one of them")
    params = parse_params(param or [])
    text = query
    if file is not None:
        if not file.is_file():
            raise InputNotFoundError(f"{file}: no such file", next_step="name a file with one SELECT")
        text = file.read_text(encoding="utf-8")
    if saved is not None:
        from pipeline.cli.saved import saved_query  # noqa: PLC0415

        found = saved_query(saved)
        text, params = found.sql, {**found.defaults, **params}
    limits = settings(ctx).store
    path = store_path(ctx, store)
    from pipeline.serve.ask import asker  # noqa: PLC0415

    with asker(path, limits) as source:
        if text is None and sys.stdin.isatty():
            from pipeline.cli.prompt import interact  # noqa: PLC0415

            interact(source, timeout_s=limits.query_timeout_s)
            return
        text = sys.stdin.read() if text is None else text
        if not text.strip():
            return
        answer = source.query(text, params, max_rows=None, timeout_s=limits.query_timeout_s)
    from pipeline.cli.render import render  # noqa: PLC0415

    width = shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
    _write(render(answer.table, chosen, width=width), chosen, output)
    if answer.truncated:
        typer.echo(f"only the first {answer.table.num_rows} rows (store.query_rows)", err=True)


def parse_params(pairs: list[str]) -> dict[str, object]:
    """``k=v`` pairs; a value that is a JSON number, boolean, null or quoted string is that, else text.

    Raises:
        UsageError: one has no ``=``.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--param {pair}: not k=v", next_step="write --param account=acct_17")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        found[name] = text if isinstance(value, dict | list) else value
    return found


def _format(name: str | None, output: Path | None) -> Format:
    from pipeline.cli.render import Format  # noqa: PLC0415

    ending = output.suffix.removeprefix(".") if output is not None else ""
    wanted = name or (ending if ending in {item.value for item in Format} else "table")
    try:
        return Format(wanted)
    except ValueError:
        raise UsageError(f"--format {wanted}: not known", next_step=f"one of {FORMATS}") from None


def _write(content: bytes, fmt: Format, output: Path | None) -> None:
    if output is not None:
        try:
            output.write_bytes(content)
        except OSError as error:
            raise StoreError(f"{output}: {error.strerror}", next_step="name a file that can be written") from error
        return
    if fmt.value == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", next_step="add --output FILE")
    sys.stdout.buffer.write(content)


def _show_saved(fmt: Format) -> None:
    import pyarrow as pa  # noqa: PLC0415

    from pipeline.cli.render import render  # noqa: PLC0415
    from pipeline.cli.saved import saved_queries  # noqa: PLC0415

    rows = [{"name": item.name, "question": item.question, "params": item.shown_params} for item in saved_queries()]
    schema = pa.schema([(name, pa.string()) for name in ("name", "question", "params")])
    _write(render(pa.Table.from_pylist(rows, schema), fmt), fmt, None)
