"""What the commands about rules share: which rule, and values for its parameters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.rules.load import Installed
    from pipeline.rules.meta import PipelineRule
    from pipeline.rules.model import Rule


def _ids() -> list[str]:
    from pipeline.resources import sql_dir  # noqa: PLC0415 - help stays quick

    about = (f"pipeline.{path.stem}" for path in sql_dir("meta").glob("*.sql"))
    return sorted([*(path.stem for path in sql_dir("rules").glob("*.sql")), *about])


RuleArgument = Annotated[str, typer.Argument(metavar="ID", help="A rule's id.", autocompletion=_ids)]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="name=value", help="Another value for one of its parameters.")
]


def find_any_rule(found: Installed, rule_id: str) -> Rule | PipelineRule:
    """The rule of that id, disabled or not, of either kind, with the settings' parameters.

    Raises:
        InputNotFoundError: there is none.
        RuleFileError: its files cannot be used.
    """
    from pipeline.rules.model import RuleFileError  # noqa: PLC0415

    rule = found.rules.get(rule_id) or found.pipeline.get(rule_id)
    if rule is not None:
        return rule
    if rule_id in found.broken:
        raise RuleFileError(
            "; ".join(found.broken[rule_id]), next_step=f"correct it; `stillwatch rules test {rule_id}` looks again"
        )
    raise no_rule(rule_id, [*found.rules, *found.pipeline, *found.broken])


def find_rule(chosen: Settings, rule_id: str) -> Rule:
    """The rule of that id that looks at periods of event time, disabled or not, with the settings' parameters.

    Raises:
        InputNotFoundError: there is none.
        RuleFileError: its files cannot be used.
        UsageError: it is about the pipeline, and speaks of now.
    """
    from pipeline.rules.load import installed  # noqa: PLC0415
    from pipeline.rules.model import Rule  # noqa: PLC0415

    found = find_any_rule(installed(chosen.rules), rule_id)
    if not isinstance(found, Rule):
        raise UsageError(
            f"{rule_id} is about the pipeline: it speaks of now, by the wall clock, and of no period of event time",
            next_step=f"`stillwatch rules test {rule_id}` runs its cases, "
            f"`stillwatch alerts list --rule {rule_id} --state any` shows when it spoke",
        )
    return found


def no_rule(rule_id: str, known: Sequence[str]) -> InputNotFoundError:
    """There is no such rule; names the one that was meant."""
    close = get_close_matches(rule_id, known, n=1)
    step = f"did you mean {close[0]}?" if close else "`stillwatch rules list` names them"
    return InputNotFoundError(f"no rule {rule_id!r}", next_step=step)


def numbers(pairs: Sequence[str], option: str) -> dict[str, float]:
    """``name=number`` pairs of an option.

    Raises:
        UsageError: one is none.
    """
    found = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not separator or not name.isidentifier() or not isfinite(value):
            raise UsageError(f"{option} {pair}: not a name and a number", next_step=f"write {option} min_events=20")
        found[name] = value
    return found


def say_json(value: Any) -> None:
    """Write a value for programs."""
    import msgspec  # noqa: PLC0415

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
