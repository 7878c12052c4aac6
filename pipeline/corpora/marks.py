"""Texts of a known set → the hashes by which requests with them are told: as ingest makes them of a request.

An item's *marks* are the fragments and the template of a request that is nothing but the item (``events.fragments``,
``events.template``), less those that another item of the set has too: an instruction that stands in each item says of
no request which item it has, and would make one request many items. So each mark names one item.

A template of fewer than TEMPLATE_WORDS words says little ("write a function") and is no mark; a text of fewer words
than a fragment has, has none. What is left without a mark cannot be found, and is counted.

Cost: what ingest pays for a request, some 50 CPU-microseconds an item of 300 characters. Loses: items that are
translated or reworded all through; short ones in the middle of other text (as ``events.fragments`` says).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.errors import UsageError
from pipeline.events.features import text_features
from pipeline.events.fragments import WORDS
from pipeline.events.native import NATIVE
from pipeline.events.template import skeletons
from pipeline.events.text import plain_text

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TEMPLATE_WORDS: Final = WORDS
MARKS: Final = pl.Schema({"item": pl.UInt32(), "template": pl.Boolean(), "hash": pl.UInt64()})
_CHUNK_ITEMS: Final = 2_000
_CHUNK_CHARS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class KnownSet:
    """What is kept of a set. ``items`` = findable + duplicates + too_short + alike."""

    name: str
    items: int
    duplicates: int  # copies of an earlier item
    too_short: int  # no fragment and no template of enough words
    alike: int  # each of its marks stands in another item too
    marks: pl.DataFrame  # MARKS, in order; an item's number is that of its record

    @property
    def findable(self) -> int:
        """Items with a mark."""
        return self.marks["item"].n_unique()

    @property
    def digest(self) -> str:
        """What tells it from another set under the same name."""
        total = hashlib.sha256(f"{self.items} {self.duplicates} {self.too_short} {self.alike}".encode())
        for name in MARKS:
            total.update(self.marks[name].cast(pl.UInt64).to_numpy().tobytes())
        return total.hexdigest()


def check_name(name: str) -> str:
    """The same name.

    Raises:
        UsageError: it cannot be one.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a known set", next_step="use up to 64 letters, digits, dots, hyphens, underscores"
        )
    return name


def known_set(name: str, texts: Iterable[tuple[int, str]]) -> KnownSet:
    """Take the marks of each text; the text is gone when this returns.

    Args:
        name: letters, digits, ``.``, ``_``, ``-``.
        texts: a number and a text each; numbers differ.

    Raises:
        UsageError: the name cannot be one, or no item can be found by anything.
        What ``texts`` raises.
    """
    check_name(name)
    every = pl.concat([_EMPTY, *_features(texts)])
    said = every.drop_nulls("prompt_hash")  # null: nothing but invisible characters
    first = said.unique("prompt_hash", keep="first", maintain_order=True)
    marks = pl.concat(
        [
            first.select("item", pl.lit(value=False).alias("template"), pl.col("fragments").alias("hash"))
            .explode("hash")
            .drop_nulls("hash"),
            first.select(
                "item", pl.lit(value=True).alias("template"), pl.col("template_hash").alias("hash")
            ).drop_nulls("hash"),
        ]
    )
    own = marks.filter(pl.len().over("template", "hash") == 1).sort("item", "template", "hash").cast(MARKS)
    marked = marks["item"].n_unique()
    found = KnownSet(
        name=name,
        items=every.height,
        duplicates=said.height - first.height,
        too_short=every.height - said.height + first.height - marked,
        alike=marked - own["item"].n_unique(),
        marks=own,
    )
    if not found.findable:
        raise UsageError(
            f"{name}: none of {found.items} items can be found: {found.too_short} have fewer than {WORDS} words, "
            f"{found.alike} are like others",
            next_step="texts of eight words and more are needed; --field says where they stand",
        )
    return found


_EMPTY: Final = pl.DataFrame(
    schema={
        "item": pl.UInt32,
        "prompt_hash": pl.UInt64,
        "fragments": pl.List(pl.UInt64),
        "template_hash": pl.UInt64,
    }
)


def _chunks(texts: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    chunk: list[tuple[int, str]] = []
    chars = 0
    for number, text in texts:
        chunk.append((number, text))
        chars += len(text)
        if len(chunk) >= _CHUNK_ITEMS or chars >= _CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


def _features(texts: Iterable[tuple[int, str]]) -> Iterator[pl.DataFrame]:
    for chunk in _chunks(texts):
        prompts = pl.Series([text for _, text in chunk], dtype=pl.String)
        wire = pl.select(
            pl.lit(prompts).alias("prompt") if name == "prompt" else pl.lit(None, pl.String).alias(name)
            for name in NATIVE.names()
        )
        made, _ = text_features(wire)
        words = skeletons(plain_text(prompts)).str.count_matches(r"\S+")
        yield pl.DataFrame({"item": pl.Series([number for number, _ in chunk], dtype=pl.UInt32)}).with_columns(
            made["prompt_hash"],
            made["fragments"],
            pl.select(pl.when(words >= TEMPLATE_WORDS).then(made["template_hash"])).to_series().alias("template_hash"),
        )
