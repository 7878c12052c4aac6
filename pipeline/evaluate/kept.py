"""Worlds that were evaluated are kept in a file as they end, so that a long evaluation can go on where it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pipeline.config import Settings
from pipeline.detect.reference import load_reference
from pipeline.errors import UsageError
from pipeline.evaluate.score import RunScore
from pipeline.rules.load import load_rules


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: str  # what it was measured with
    run: RunScore


@dataclass(slots=True)
class Kept:
    """A file of JSON lines, one a world and level of knowledge.

    Each says what it was measured with: worlds of other sizes, rules or references stay in the file and do not count.
    """

    file: Path
    of: str
    runs: dict[tuple[str, int, str], RunScore] = field(init=False)  # by scenario, seed and level

    def __post_init__(self) -> None:
        """Raises UsageError: the file has something else in it, or cannot be written."""
        try:
            lines = self.file.read_bytes().splitlines(keepends=True) if self.file.exists() else []
            if lines and not lines[-1].endswith(b"\n"):
                # A line that was being written when the last evaluation was stopped.
                lines.pop()
                self.file.write_bytes(b"".join(lines))
            read = [msgspec.json.decode(line, type=_Line) for line in lines]
            self.file.open("ab").close()
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(
                f"--resume {self.file}: {error}", next_step="name a file that evaluate wrote, or one that is not there"
            ) from error
        self.runs = {
            (line.run.scenario, line.run.seed, line.run.knowledge): line.run for line in read if line.of == self.of
        }

    def of_world(self, name: str, seed: int, levels: Sequence[str]) -> list[RunScore] | None:
        """The runs of one world at all these levels, if all are there."""
        found = [self.runs.get((name, seed, level)) for level in levels]
        runs = [run for run in found if run is not None]
        return runs if len(runs) == len(found) else None

    def add(self, runs: Sequence[RunScore]) -> None:
        """Append them to the file."""
        for run in runs:
            self.runs[run.scenario, run.seed, run.knowledge] = run
        with self.file.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(_Line(self.of, run)) + b"\n" for run in runs))


def measured_with(plan: dict[str, Any], settings: Settings) -> str:
    """Digits that differ where worlds, rules or the reference do; not where the code between them does."""
    rules = load_rules(settings.rules)
    told = {
        "plan": {name: str(value) for name, value in sorted(plan.items()) if name not in {"scenarios", "seeds"}},
        "rules": {rule.rule_id: rule.version for rule in rules},
        "naming": settings.rules.false_discovery_rate,
        "reference": load_reference(settings.rules.reference).digest,
        "pseudonymise": sorted(settings.privacy.pseudonymise),
    }
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12]


def kept_in(file: Path, plan: Any, settings: Settings) -> Kept:
    """The worlds in ``file`` that were measured with the same settings, rules and reference."""
    return Kept(file, measured_with({**asdict(plan), "knowledge": ""}, settings))
