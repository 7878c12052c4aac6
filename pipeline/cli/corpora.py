"""``corpora``: known sets (benchmarks, seed tasks, canaries) by which it shows who goes through them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.options import ConfigOption, JsonOption, StoreOption, need_file, settings, store_path

if TYPE_CHECKING:
    from pipeline.corpora import KnownSet, Texts
    from pipeline.serve.corpora import CorpusChange

app = typer.Typer(
    no_args_is_help=True,
    help="Known sets: benchmarks, seed tasks, canaries.\n\nExample: stillwatch corpora add gsm8k gsm8k_test.jsonl",
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots, hyphens, underscores.")]

_LIST: Final = "select corpus, items, findable, duplicates, too_short, alike, added_at from corpora order by corpus"


@app.callback()
def _group() -> None:
    """Known sets."""


@app.command()
def add(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Lines of text, JSON lines, JSON, CSV; .gz, .zst.")],
    field: Annotated[
        str | None, typer.Option("--field", metavar="FIELD", help="Which has the text; else prompt, question, …")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of another set of that name.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a known set, so that it shows how much of it each account sends. Only hashes of it are kept.

    A running serve writes it, else the file is opened. Rules look again at what was seen. Adding the same set again
    changes nothing.

    Example: stillwatch corpora add gsm8k gsm8k_test.jsonl
    """
    from pipeline.corpora import known_set, read_texts  # noqa: PLC0415
    from pipeline.serve.corpora import AddCorpus  # noqa: PLC0415

    texts = read_texts(need_file(file, next_step="name a text, JSON lines, JSON or CSV file"), field)
    known = known_set(name, texts)
    _change(ctx, AddCorpus(known, replace), store, config)
    typer.echo(_as_json(known, texts) if as_json else _told(known, texts))


@app.command("list")
def list_sets(
    ctx: typer.Context, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the known sets, and how much of each can be found. Who sent them: sql --saved known_sets_covered.

    Example: stillwatch corpora list
    """
    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.serve.ask import asker  # noqa: PLC0415

    chosen = settings(ctx, config)
    with asker(store_path(store, chosen), chosen.store) as source:
        answer = source.query(_LIST, max_rows=None, timeout_s=chosen.store.query_timeout_s)
    fmt = Format.JSON if as_json else Format.TABLE
    typer.echo(render(answer.table, fmt, width=None).decode().rstrip("\n"))


@app.command()
def remove(
    ctx: typer.Context,
    name: NameArgument,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a known set, and what rules said by it.

    Example: stillwatch corpora remove gsm8k
    """
    from pipeline.corpora.marks import check_name  # noqa: PLC0415
    from pipeline.serve.corpora import RemoveCorpus  # noqa: PLC0415

    _change(ctx, RemoveCorpus(check_name(name)), store, config)
    typer.echo(f'{{"corpus":"{name}"}}' if as_json else f"{name}: removed")


def _change(ctx: typer.Context, change: CorpusChange, store: Path | None, config: Path | None) -> None:
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.serve.client import ServeClient  # noqa: PLC0415

    chosen = settings(ctx, config)
    path = store_path(store, chosen)
    client = ServeClient.find(path)
    if client is not None:
        with client:
            client.change_corpus(change)
        return
    from pipeline.serve.facts import change_corpus  # noqa: PLC0415 - a client of serve needs no DuckDB

    change_corpus(path, change, chosen, clock=SystemClock())


def _told(known: KnownSet, texts: Texts) -> str:
    lost = [
        f"{what}: {count}"
        for count, what in (
            (known.duplicates, "copies of others"),
            (known.too_short, "of fewer than eight words"),
            (known.alike, "only repeating what others say"),
            (texts.without_text, "records without text"),
        )
        if count
    ]
    source = f" (field {texts.field!r})" if texts.field else ""
    left_out = f"; left out: {', '.join(lost)}" if lost else ""
    return f"{known.name}: {known.items} items{source}, {known.findable} can be found{left_out}"


def _as_json(known: KnownSet, texts: Texts) -> str:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(
        {
            "corpus": known.name,
            "field": texts.field,
            "items": known.items,
            "findable": known.findable,
            "duplicates": known.duplicates,
            "too_short": known.too_short,
            "alike": known.alike,
            "without_text": texts.without_text,
        }
    ).decode()
