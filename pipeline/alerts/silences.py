"""Silences: alerts that fit are written and not told, for a reason and until a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final, Self

from pipeline.errors import UsageError
from pipeline.rules.run import Tx

FIELDS: Final = ("alert", "rule", "severity", "dimension", "campaign", "key", "tag")
_NEXT: Final = f"write FIELD=VALUE or FIELD!=VALUE, * for any text; fields are {', '.join(FIELDS)}"


@dataclass(frozen=True, slots=True)
class Traits:
    """What silences, holds and groups know of an alert."""

    alert_id: str
    rule: str
    severity: str
    dimension: str
    campaign_id: str | None
    key: str
    tags: frozenset[str]

    def values(self, name: str) -> tuple[str, ...]:
        """What a matcher's field stands for; none where the alert has no such thing."""
        match name:
            case "alert":
                return (self.alert_id,)
            case "campaign":
                return (self.campaign_id,) if self.campaign_id else ()
            case "tag":
                return tuple(sorted(self.tags))
            case _:
                return (str(getattr(self, name)),)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition. ``pattern`` is text with ``*`` for any text; nothing in it takes long to compare."""

    name: str
    pattern: str
    negated: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """``rule=shared_*`` or ``severity!=critical``.

        Raises:
            UsageError: it is neither.
        """
        name, sign, pattern = text.partition("=")
        negated = name.endswith("!")
        name = name.removesuffix("!").strip()
        if not sign or name not in FIELDS or not pattern.strip() or not text.isprintable():
            raise UsageError(f"{text!r}: no matcher", next_step=_NEXT)
        return cls(name, pattern.strip(), negated)

    def fits(self, alert: Traits) -> bool:
        """Whether it holds of an alert."""
        # Brackets and question marks are ordinary text: only * is promised.
        pattern = self.pattern.replace("[", "[[]").replace("?", "[?]")
        return any(fnmatchcase(value, pattern) for value in alert.values(self.name)) is not self.negated


@dataclass(frozen=True, slots=True)
class Silence:
    """One that holds now; all its matchers must fit."""

    silence_id: str
    matchers: Sequence[Matcher]

    def fits(self, alert: Traits) -> bool:
        """Whether it holds an alert back."""
        return all(matcher.fits(alert) for matcher in self.matchers)


def silences_now(tx: Tx, now: datetime) -> list[Silence]:
    """Silences that have begun and not ended."""
    rows = tx.execute(
        "select silence_id, matchers from silence where starts_at <= $now and ends_at > $now order by silence_id",
        {"now": now},
    ).fetchall()
    return [Silence(silence_id, [Matcher.read(text) for text in matchers]) for silence_id, matchers in rows]


def silenced_by(alert: Traits, silences: Iterable[Silence]) -> str | None:
    """The first silence that holds an alert back; None: none does."""
    return next((silence.silence_id for silence in silences if silence.fits(alert)), None)
