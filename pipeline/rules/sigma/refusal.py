"""What cannot be expressed, by name: the rule, what of it, and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StillwatchError


class NotExpressibleError(Exception):
    """Something in a rule that what is stored cannot answer; caught where the rule's title is known."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a rule is not imported. ``title``: the rule's; empty where the file itself cannot be read."""

    title: str
    what: str
    next_step: str

    def __str__(self) -> str:
        rule = f"“{self.title}”: " if self.title else ""
        return f"{rule}{self.what} → {self.next_step}"


class SigmaRefusedError(StillwatchError):
    """A file of which nothing was imported, with every reason, one a line."""

    exit_code = 65

    def __init__(self, file: Path, refusals: Sequence[Refusal]) -> None:
        lines = [f"{file}: {refusal}" for refusal in refusals]
        super().__init__(
            "\n".join(["nothing was imported", *lines]), next_step="docs/sigma.md says what can be expressed"
        )
        self.refusals = tuple(refusals)
