"""``rules import-sigma``: Sigma rules as rules of one's own, or why they cannot be."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, need_file, settings
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.rules.sigma import Imported


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command("import-sigma")(import_sigma)


def import_sigma(  # noqa: PLR0917 - typer takes options by name
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Sigma rules in YAML, several documents if need be.")],
    directory: Annotated[
        Path | None, typer.Option("--directory", metavar="DIR", help="Where to write; else rules.directory.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over rules of the same names.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a rule (ID.sql and ID.yml) for each Sigma rule of a file, proven by cases made from it.

    Nothing is written when anything in the file cannot be expressed; each reason is said. An imported rule opens
    alerts of its own and counts towards no score. docs/sigma.md has the fields.

    Example: stillwatch rules import-sigma sigma.yml --directory rules
    """
    if find_spec("sigma") is None or find_spec("sigma.collection") is None:
        raise ConfigError("pySigma is not installed", next_step="install stillwatch[sigma]")
    from pipeline.rules.sigma import Importer  # noqa: PLC0415 - help stays quick

    need_file(file, next_step="name a file of Sigma rules")
    chosen = settings(ctx, config).rules.directory
    target = directory or chosen
    if target is None:
        raise ConfigError("there is no directory for your rules", next_step="--directory DIR, or set rules.directory")
    done = Importer(target, force).run(file)
    if as_json:
        typer.echo(_as_json(done, target))
        return
    for one in done:
        typer.echo(f"{target / one.rule_id}.{{sql,yml}}: {one.change}, “{one.title}”, its {one.cases} cases pass")
    if chosen is None or chosen.resolve() != target.resolve():
        typer.echo(f"serve reads them once rules.directory is {target}; then it runs them beside the shipped ones")


def _as_json(done: list[Imported], directory: Path) -> str:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode({"directory": str(directory), "rules": done}).decode()
