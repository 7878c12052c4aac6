"""``demo``: the main job on simulated traffic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where its store is left.")] = Path("demo-data"),
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same traffic.")] = 7,
    plain: Annotated[bool, typer.Option("--plain", help="No live view, as without a terminal.")] = False,
) -> None:
    """Run everything on simulated traffic with a planted campaign, and check what was found; under 3 minutes.

    Example: stillwatch demo --seed 11
    """
    from rich.console import Console  # noqa: PLC0415

    from pipeline.demo import run_demo  # noqa: PLC0415

    code = run_demo(Console(), data_dir=data_dir, plain=plain or not sys.stdout.isatty(), seed=seed)
    raise typer.Exit(code)
