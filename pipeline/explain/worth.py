"""What a score is worth: the records of how it is held against benign accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Naming:
    """What it took to be named at the last look. ``e_value_needed…``: None where nobody is named."""

    tests: int
    heavy: int
    false_discovery_rate: float
    named: int
    named_heavy: int
    e_value_needed: float | None
    e_value_needed_heavy: float | None
    reference: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A signal that counts, and how many benign accounts show one of that rule that strong or stronger."""

    rule_id: str
    strength: float
    showing: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The score held against benign accounts: ``e_value = (1 - score) ** -steepness / bound``.

    ``benign`` accounts of the population were observed in ``worlds``, ``reaching`` of them score as much or more. Named
    is who has ``needed`` (None: nobody is): ``tests / (false_discovery_rate / 2 * named)``, both of the account's list.
    """

    population: str
    who: str
    about: str | None
    benign: int | None
    worlds: int | None
    reaching: int | None
    bound: float | None
    steepness: int
    e_value: float | None
    heavy: bool
    tests: int
    named: int
    needed: float | None
    naming: Naming
    signals: Sequence[Beside]
