"""``sql``: analyst questions, one at a time or in a prompt."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, StoreOption, need_file, settings, store_path
from pipeline.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pipeline.cli.render import Format

FORMATS = "table | json | ndjson | csv | parquet"


def _formats() -> list[str]:
    return FORMATS.split(" | ")


def _saved_names() -> list[str]:
    from pipeline.cli.saved import saved_queries  # noqa: PLC0415

    return [item.name for item in saved_queries()]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="One SELECT; bare: an interactive prompt.")
    ] = None,
    store: StoreOption = None,
    format_name: Annotated[
        str | None, typer.Option("--format", "-f", metavar="FORMAT", help=FORMATS, autocompletion=_formats)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Read the query from a file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="k=v", help="v for $k; numbers are numbers.")
    ] = None,
    saved: Annotated[
        str | None, typer.Option("--saved", metavar="NAME", help="A saved query.", autocompletion=_saved_names)
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="The saved queries.")] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Ask the store; a running serve answers, else the file is opened read-only.

    Example: stillwatch sql "select * from suspicious_accounts" --format csv --output found.csv
    """
    if as_json and format_name not in {None, "json"}:
        raise UsageError(f"--json and --format {format_name} exclude each other", next_step="give one of them")
    chosen = _format("json" if as_json else format_name, output)
    if show_list:
        _show_saved(chosen, output)
        return
    if sum(item is not None for item in (query, file, saved)) > 1:
        raise UsageError("a query, --file and --saved exclude each other", next_step="give one of them")
    params = parse_params(param or [])
    text = query
    if file is not None:
        text = _query_file(file)
    if saved is not None:
        from pipeline.cli.saved import saved_query  # noqa: PLC0415

        found = saved_query(saved)
        text, params = found.sql, {**found.defaults, **params}
    if text is None and not sys.stdin.isatty():
        text = sys.stdin.read()
        if not text.strip():
            return  # a prompt at which nothing was asked
    if text is not None and not text.strip():
        raise UsageError("the query is empty", next_step='give one SELECT: stillwatch sql "from accounts limit 5"')
    loaded = settings(ctx, config)
    limits = loaded.store
    path = store_path(store, loaded)
    from pipeline.serve.ask import asker  # noqa: PLC0415

    with asker(path, limits) as source:
        if text is None:
            from pipeline.cli.prompt import interact  # noqa: PLC0415

            interact(source, timeout_s=limits.query_timeout_s)
            return
        answer = source.query(text, params, max_rows=None, timeout_s=limits.query_timeout_s)
    from pipeline.cli.render import render  # noqa: PLC0415

    _write(render(answer.table, chosen, width=_width(output)), chosen, output)
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


def _query_file(file: Path) -> str:
    need_file(file, next_step="name a file with one SELECT")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: no text in UTF-8", next_step="name a file with one SELECT") from error


def _width(output: Path | None) -> int | None:
    return shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None


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


def _show_saved(fmt: Format, output: Path | None) -> None:
    import pyarrow as pa  # noqa: PLC0415

    from pipeline.cli.render import render  # noqa: PLC0415
    from pipeline.cli.saved import saved_queries  # noqa: PLC0415

    rows = [{"name": item.name, "question": item.question, "params": item.shown_params} for item in saved_queries()]
    schema = pa.schema([(name, pa.string()) for name in ("name", "question", "params")])
    _write(render(pa.Table.from_pylist(rows, schema), fmt, width=_width(output)), fmt, output)
