"""``rules``: what is looked for. Listed, tried, made, switched; ``rules_backtest`` runs them over what is stored."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import rules_backtest
from pipeline.cli.options import ConfigOption, JsonOption, Options, loaded, need_file, settings
from pipeline.cli.rule_options import RuleArgument, find_any_rule, no_rule, numbers, say_json
from pipeline.errors import ConfigError, InputNotFoundError, UsageError

if TYPE_CHECKING:
    from pipeline.config import Loaded, Settings
    from pipeline.rules.check import Check
    from pipeline.rules.load import Reading
    from pipeline.rules.meta import PipelineReading, PipelineRule
    from pipeline.rules.model import Rule

# Commands of other modules join this group: `rules.app.command("import-sigma")(…)` in cli/app.py.
app = typer.Typer(
    no_args_is_help=True,
    help="Rules: what is looked for.\n\nExample: stillwatch rules test --directory my-rules",
)


DirectoryOption = Annotated[
    Path | None, typer.Option("--directory", metavar="DIR", help="Rules of this directory only.")
]


@app.callback()
def _group() -> None:
    """Rules: what is looked for."""


@app.command("list")
def list_rules(ctx: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List all rules, your own too, also those that are disabled or broken. Exit code 65 when one is broken.

    Example: stillwatch rules list --json
    """
    import pyarrow as pa  # noqa: PLC0415

    from pipeline.cli.render import Format, render  # noqa: PLC0415
    from pipeline.rules.load import installed  # noqa: PLC0415
    from pipeline.rules.model import RuleFileError  # noqa: PLC0415
    from pipeline.rules.shown import listed, row  # noqa: PLC0415

    found = installed(settings(ctx, config).rules)
    rules: tuple[tuple[str, Rule | PipelineRule], ...] = (*sorted(found.rules.items()), *sorted(found.pipeline.items()))
    rows = [row(rule, disabled=name in found.disabled) for name, rule in rules]
    if as_json:
        broken = [{"id": name, "state": "broken", "problems": list(wrong)} for name, wrong in found.broken.items()]
        say_json([*rows, *broken])
    else:
        table = pa.Table.from_pylist(listed(rows))
        typer.echo(render(table, Format.TABLE, width=_width()).decode().rstrip("\n"))
    if found.problems:
        raise RuleFileError(
            "some rules cannot be used:\n  " + "\n  ".join(found.problems),
            next_step="correct the files; docs/rules.md has the fields",
        )


@app.command()
def show(
    ctx: typer.Context,
    rule_id: RuleArgument,
    sql: Annotated[bool, typer.Option("--sql", help="Its SELECT as well.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that a rule says about itself, with its parameters as they are set.

    Example: stillwatch rules show shared_prompt
    """
    from pipeline.rules.load import installed  # noqa: PLC0415
    from pipeline.rules.shown import as_text, whole  # noqa: PLC0415

    found = installed(settings(ctx, config).rules)
    rule = find_any_rule(found, rule_id)
    disabled = rule_id in found.disabled
    if as_json:
        say_json(whole(rule, disabled=disabled))
        return
    typer.echo(as_text(rule, disabled=disabled))
    if sql:
        typer.echo(f"\n{rule.sql.rstrip()}")


@app.command("test")
def run_tests(
    ctx: typer.Context,
    rule_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="Else all.")] = None,
    directory: DirectoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check rules: the query, what is written about it, its cases, and what a look costs. Exit code 1 when one fails.

    Cases run through the real decoder and store, in memory; no store and no broker is needed.

    Example: stillwatch rules test --directory my-rules
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415
    from pipeline.rules.check import check  # noqa: PLC0415
    from pipeline.rules.check_meta import check_pipeline  # noqa: PLC0415
    from pipeline.rules.load import Reading  # noqa: PLC0415

    clock = SystemClock()
    done: list[Check] = []
    for read in _chosen(ctx, config, directory, rule_ids or []):
        if not as_json and done:
            typer.echo("")
        checks = check(read, clock=clock) if isinstance(read, Reading) else check_pipeline(read, clock=clock)
        for one in checks:
            if not as_json:
                if not done or done[-1].rule_id != one.rule_id:
                    typer.echo(one.rule_id)
                state = {"passed": "passed", "failed": "FAILED", "note": "note"}[one.state]
                typer.echo(f"  {state:6}  {one.kind:4}  {one.name}: {one.detail}")
            done.append(one)
    failed = [one for one in done if one.state == "failed"]
    if as_json:
        say_json(done)
    else:
        rules = len({one.rule_id for one in done})
        wrong = len({one.rule_id for one in failed})
        count = sum(one.state != "note" for one in done)
        within = f", of {wrong} rule{'s' * (wrong > 1)}" if rules > 1 else ""
        told = f"{rules} rule{'s' * (rules > 1)}, {count} check{'s' * (count > 1)}: "
        typer.echo("\n" + told + (f"{len(failed)} failed{within}" if failed else "all passed"))
    raise typer.Exit(1 if failed else 0)


@app.command()
def new(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="Lower-case letters, digits, _ and -.")],
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="A SELECT with account_id, bound by $since and $until.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Read the SELECT from a file.")] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="What it looks for, in a line.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="k=v", help="The default of $k, a number.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", metavar="DIR", help="Where to; else `rules.directory`.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a rule from a question: ID.sql and ID.yml, with all filled in but the tests.

    Example: stillwatch rules new big_talkers --file big_talkers.sql --param least=1000 --directory my-rules
    """
    from pipeline.cli.accounts import user_name  # noqa: PLC0415
    from pipeline.rules.load import installed  # noqa: PLC0415
    from pipeline.rules.scaffold import Question, write_pair  # noqa: PLC0415

    chosen = settings(ctx, config)
    if query is not None and file is not None:
        raise UsageError("a query and --file exclude each other", next_step="give one of them")
    text = query if file is None else _text(file)
    if text is None or not text.strip():
        raise UsageError("which question?", next_step='stillwatch rules new ID "select …", or --file FILE')
    where = directory or chosen.rules.directory
    if where is None:
        raise UsageError("where to?", next_step="add --directory DIR, and name it in rules.directory for serve")
    if rule_id in installed(chosen.rules).rules:
        raise UsageError(f"there is a rule {rule_id} already", next_step="choose another id")
    asked = title or rule_id.replace("_", " ").replace("-", " ").capitalize()
    paths = write_pair(where, Question(rule_id, asked, text, numbers(param or [], "--param"), owner=user_name()))
    if as_json:
        say_json({"id": rule_id, "files": [str(path) for path in paths]})
        return
    named = f" --directory {where}" if where != chosen.rules.directory else ""
    typer.echo(f"{paths[0]} and {paths[1].name} made")
    typer.echo(f"next: write its tests at the end of {paths[1]}, then: stillwatch rules test {rule_id}{named}")
    if named:
        typer.echo(f'serve reads it where its settings say: [rules] directory = "{where}"')


@app.command()
def enable(ctx: typer.Context, rule_id: RuleArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let a rule run again: take it out of rules.disabled in your settings file. Comments there stay.

    Example: stillwatch rules enable many_networks
    """
    _switch(ctx, config, rule_id, on=True, as_json=as_json)


@app.command()
def disable(
    ctx: typer.Context, rule_id: RuleArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Let a rule rest: add it to rules.disabled in your settings file. What it found stays as long as signals do.

    Example: stillwatch rules disable many_networks
    """
    _switch(ctx, config, rule_id, on=False, as_json=as_json)


def _switch(ctx: typer.Context, config: Path | None, rule_id: str, *, on: bool, as_json: bool) -> None:
    from pipeline.config import settings_file  # noqa: PLC0415
    from pipeline.config.edit import change_list  # noqa: PLC0415

    found = loaded(ctx, config)
    if rule_id not in found.settings.rules.disabled:
        _must_exist(found.settings, rule_id)
    options = ctx.find_object(Options) or Options()
    file = settings_file(config or options.config)
    if file is None:
        raise ConfigError(
            "there is no settings file here in which to write it",
            next_step="make one, an empty one is enough (touch stillwatch.toml), or name one by --config",
        )
    _must_be_of(found, file)
    change = {"remove": (rule_id,)} if on else {"add": (rule_id,)}
    before = rule_id in found.settings.rules.disabled
    now = change_list(file, "rules", "disabled", **change)
    if as_json:
        say_json({"id": rule_id, "enabled": on, "changed": before == on, "disabled": now, "file": str(file)})
        return
    word = "enabled" if on else "disabled"
    typer.echo(
        f"{rule_id} {word} in {file}; a serve that reads this file follows within seconds"
        if before == on
        else f"{rule_id} is {word} already"
    )


def _must_be_of(found: Loaded, file: Path) -> None:
    source = found.sources.get("rules.disabled", str(file))
    if source != str(file):
        raise ConfigError(
            f"rules.disabled comes from {source}, which goes before {file}", next_step=f"change it in {source}"
        )


rules_backtest.register(app)


def _chosen(
    ctx: typer.Context, config: Path | None, directory: Path | None, rule_ids: list[str]
) -> list[Reading | PipelineReading]:
    """The pairs of files that are asked for: those shipped, the user's, those about the pipeline."""
    from pipeline.resources import sql_dir  # noqa: PLC0415
    from pipeline.rules.load import read_pairs  # noqa: PLC0415
    from pipeline.rules.meta import read_pipeline_rules  # noqa: PLC0415

    if directory is not None:
        directories = [directory]
    else:
        own = settings(ctx, config).rules.directory
        directories = [sql_dir("rules"), *([own] if own is not None else [])]
    found: list[Reading] = []
    for one in directories:
        if not one.is_dir():
            raise InputNotFoundError(f"{one}: no such directory", next_step="name one with pairs ID.sql and ID.yml")
        taken = {read.rule_id: read.base for read in found}
        found += [
            replace(
                read, rule=None, problems=(f"{read.base}: the id {read.rule_id} is taken by {taken[read.rule_id]}",)
            )
            if read.rule_id in taken
            else read
            for read in read_pairs(one)
        ]
    every = [*found, *(read_pipeline_rules() if directory is None else ())]
    known = [read.rule_id for read in every]
    for rule_id in rule_ids:
        if rule_id not in known:
            raise no_rule(rule_id, known)
    if not every:
        raise InputNotFoundError(
            f"{directories[0]}: no rule here",
            next_step="a rule is a pair ID.sql and ID.yml; `stillwatch rules new` makes one",
        )
    return [read for read in every if not rule_ids or read.rule_id in rule_ids]


def _must_exist(chosen: Settings, rule_id: str) -> None:
    from pipeline.rules.load import installed  # noqa: PLC0415

    found = installed(chosen.rules)
    known = found.rules.keys() | found.pipeline.keys() | found.broken.keys()
    if rule_id not in known:
        raise no_rule(rule_id, sorted(known))


def _text(file: Path) -> str:
    need_file(file, next_step="name a file with one SELECT")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: no text in UTF-8", next_step="name a file with one SELECT") from error


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
