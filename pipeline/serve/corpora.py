"""What a person wants of known sets, on its way to the writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever only asks a serve need not load what makes text into hashes
    from pipeline.corpora.marks import KnownSet


@dataclass(frozen=True, slots=True)
class AddCorpus:
    """Store a known set. ``replace``: in place of another of its name."""

    known: KnownSet
    replace: bool


@dataclass(frozen=True, slots=True)
class RemoveCorpus:
    """Forget a known set, and what was found by it."""

    name: str


CorpusChange = AddCorpus | RemoveCorpus
