"""``completion``: the script that makes a shell complete commands, options and their values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells that can be taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(completion)


def completion(
    ctx: typer.Context, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
) -> None:
    """Print the completion script of a shell; --install-completion puts that of this shell in its place.

    Example: stillwatch completion bash > ~/.local/share/bash-completion/completions/stillwatch
    """
    from typer.completion import shell_complete  # noqa: PLC0415

    root = ctx.find_root()
    raise typer.Exit(shell_complete(root.command, {}, "stillwatch", "_STILLWATCH_COMPLETE", f"source_{shell}"))
