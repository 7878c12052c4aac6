"""What `request_kind.toml` says, made ready: words of many languages as bits, cues over them, patterns, and anchors.

An *anchor* is a word without which no kind can reach its threshold; text without anchors is not looked at any further.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

# Positions are part of the stored format: only ever append, at most 255.
KINDS: Final = (
    "ordinary",
    "reasoning_elicitation",
    "rubric_grading",
    "output_rewriting",
    "instruction_generation",
    "benchmark_item",
)
ENDS: Final = (".", "?", "!", "\n", ";")  # of a sentence
_ASCII_QUOTES: Final = r"""["'`*_#({\[]"""
_OTHER_QUOTES: Final = r"[“”\u{2018}\u{2019}„«»「」『』¿¡]"

Where = Literal["sentence", "near", "text"]


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that stand together: all of ``needs`` and none of ``without`` (bits) in one sentence, in two that follow
    each other, or anywhere in the text.
    """

    name: str
    kind: str
    needs: np.uint64
    without: np.uint64
    where: Where
    weight: float


@dataclass(frozen=True, slots=True)
class Form:
    """A pattern over the text in lower case, to be there ``least`` times; looked for only where ``after`` (bits) is, in
    text that is not too long.
    """

    name: str
    kind: str
    after: np.uint64
    pattern: str
    least: int
    most_chars: int | None  # of the text
    weight: float


@dataclass(frozen=True, slots=True)
class Cues:
    """The model. ``masks`` are the bits of the words that each of ``phrases`` stands for; 0: the end of a sentence."""

    words: Mapping[str, np.uint64]
    phrases: pl.Enum
    masks: npt.NDArray[np.uint64]
    anchors: Mapping[tuple[bool, bool], str]  # by (the text is ASCII, it is short): a pattern for folded text
    cues: tuple[Cue, ...]
    forms: tuple[Form, ...]

    @property
    def every(self) -> tuple[Cue | Form, ...]:
        """Cues and forms, in the order of the columns of what fired."""
        return (*self.cues, *self.forms)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Weight by (cue or form, kind); multiples of a quarter, so that sums are exact in any order."""
        table = np.zeros((len(self.every), len(KINDS)))
        for row, one in enumerate(self.every):
            table[row, KINDS.index(one.kind)] = one.weight
        return table


def plain(texts: pl.Series) -> pl.Series:
    """Quotes, opening brackets and marks of emphasis made blanks, a blank put before each line."""
    made = texts.str.replace_all(_ASCII_QUOTES, " ")
    other = (made.str.len_bytes() > made.str.len_chars()).arg_true()
    if not other.is_empty():  # sought apart, since letters beyond ASCII are sought three times as slowly
        made = made.scatter(other, made.gather(other).str.replace_all(_OTHER_QUOTES, " "))
    spaced = pl.concat_str(pl.lit(" "), pl.col("text").str.replace_all("\n", "\n ", literal=True), pl.lit(" "))
    return made.to_frame("text").select(spaced).to_series()


@cache
def cues() -> Cues:
    """The model in the package."""
    text = files("pipeline.events").joinpath("request_kind.toml").read_text("utf-8")
    return read_cues(tomllib.loads(text))


def read_cues(data: Mapping[str, Any]) -> Cues:
    """A model from its table.

    Raises:
        KeyError: a cue names words that are not there.
        ValueError: a cue or form speaks for no known kind, or there are more words than bits.
    """
    if len(data["words"]) > 64:
        raise ValueError("more words than bits")
    words = {name: np.uint64(1 << place) for place, name in enumerate(data["words"])}
    told = [
        (words[name], part.strip())
        for name, languages in data["words"].items()
        for text in languages.values()
        for part in text.split("|")
    ]
    masks: dict[str, np.uint64] = {}
    for (bit, _), phrase in zip(told, _phrases([raw for _, raw in told]), strict=True):
        masks[phrase] = masks.get(phrase, np.uint64(0)) | bit
    short = _union(words, data["short_anchors"])
    always = _union(words, data["anchors"])
    found = Cues(
        words,
        pl.Enum([*masks, *ENDS]),
        np.array([*masks.values(), *(0 for _ in ENDS)], dtype=np.uint64),
        {
            (plain_ascii, brief): _pattern(
                phrase
                for phrase, mask in masks.items()
                if mask & (always | short if brief else always) and (phrase.isascii() or not plain_ascii)
            )
            for plain_ascii in (True, False)
            for brief in (True, False)
        },
        tuple(
            Cue(
                one["name"],
                one["kind"],
                _union(words, one["needs"]),
                _union(words, one.get("without", [])),
                one.get("in", "sentence"),
                float(one["weight"]),
            )
            for one in data["cues"]
        ),
        tuple(
            Form(
                one["name"],
                one["kind"],
                _union(words, one["after"]),
                one["pattern"],
                one.get("least", 1),
                one.get("most_chars"),
                float(one["weight"]),
            )
            for one in data["forms"]
        ),
    )
    unknown = {one.kind for one in found.every} - set(KINDS[1:])
    if unknown:
        raise ValueError(f"no kind of request: {', '.join(sorted(unknown))}")
    return found


def _phrases(raw: list[str]) -> Iterator[str]:
    """What to look for. ``*`` before a phrase: anywhere, as it stands; ``_`` behind it: it ends there."""
    bare = pl.Series([one.removesuffix("_") for one in raw])
    # As text is made, so that an apostrophe or a bracket in a phrase is what it becomes in text.
    made = plain(bare.str.normalize("NFKC").str.to_lowercase()).str.strip_chars()
    for one, exact, phrase in zip(raw, bare, made, strict=True):
        close = " " if one.endswith("_") else ""
        if one.startswith("*"):
            yield exact[1:] + close
        else:
            yield (" " if _of_an_alphabet(phrase) else "") + phrase + close


def _of_an_alphabet(phrase: str) -> bool:
    """Latin, Greek and Cyrillic only, or digits: words stand apart, and nothing grows on their front."""
    return phrase[0].isalnum() and all(letter < "\u0530" or "\u1e00" <= letter < "\u2e80" for letter in phrase)


def _union(words: Mapping[str, np.uint64], names: Iterable[str]) -> np.uint64:
    return np.uint64(np.bitwise_or.reduce(np.array([words[name] for name in names], dtype=np.uint64)))


def _pattern(phrases: Iterable[str]) -> str:
    """One pattern for all: literals only, which the regex engine finds at memory's speed; any boundary in it would slow
    it tenfold. A phrase that holds a shorter one is not needed.
    """
    kept: list[str] = []
    for phrase in sorted(phrases, key=lambda one: (len(one), one)):
        if not any(other in phrase for other in kept):
            kept.append(phrase)
    # An apostrophe was made a blank in phrases (assistant s answer), and is none in folded text.
    return "|".join(re.escape(phrase.replace(" s ", "'s ")) for phrase in kept)
