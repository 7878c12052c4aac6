"""Fragments: fingerprints of k words in a row, of which few are kept, so that a passage shows wherever it stands.

A campaign injects one passage before, behind or around a task that changes each time, in the system prompt or in the
user's message. Its *fragments* stay the same: 64-bit hashes of WORDS consecutive words. Kept are, of the last user
message, the first and the last, the two smallest hashes of its first EDGE words and of its last, and the smallest of
the whole; of the system prompt the two smallest. What is kept depends on the text alone (local minima of a hash, as in
winnowing: Schleimer, Wilkerson, Aiken 2003), so the same passage at the same place gives mostly the same fragments,
whatever surrounds it, in any process and version.

What a word is says words.py. Texts of fewer than WORDS words have no fragments.

Cost: less than cutting the text into words. Loses: passages that are reworded all through, that
stand in the middle of long payloads (less likely the longer these are; ``python -m benchmarks.passages`` prints how
likely), and what stands behind the first READ_CHARS characters. With hashes only they arrive in ``content.fragments``;
with metadata only there are none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from pipeline.events.template import distinct
from pipeline.events.words import Hashes, Places, Worded, in_words, mixed

WORDS: Final = 8
EDGE: Final = 40
MOST: Final = 9  # fragments an event

_STEP: Final = 0xD6E8FEB86659FD93
STEPS: Final = {width: np.uint64(pow(_STEP, width, 2**64)) for width in (1, 2, 4)}
_NONE: Final = np.uint64(2**64 - 1)


def fragments(systems: pl.Series, prompts: pl.Series, prompt_words: list[Worded]) -> pl.Series:
    """Fragments of each request, ascending: at most MOST, as lists of UInt64; null where there is no text.

    Args:
        systems: ``normalised`` system prompts, null where there is none.
        prompts: ``normalised`` last user messages, null where there is none.
        prompt_words: ``in_words(prompts)``, which others need too.
    """
    count = len(prompts)
    firsts, codes = distinct(systems)
    rows, hashes = _of_systems(systems.gather(firsts), codes)
    for portion in prompt_words:
        row, found = _of_portion(portion, edges=True)
        rows.append(row)
        hashes.append(found)
    row, found = np.concatenate(rows), np.concatenate(hashes)
    order = np.lexsort((found, row))
    row, found = row[order], found[order]
    new = np.append(True, (row[1:] != row[:-1]) | (found[1:] != found[:-1]))[: len(row)]
    kept = pl.DataFrame({"row": row[new], "hash": found[new]}).group_by("row", maintain_order=True).agg("hash")
    told = pl.DataFrame({"row": pl.arange(0, count, dtype=pl.Int64, eager=True), "s": systems, "p": prompts})
    return (
        told.join(kept, on="row", how="left", maintain_order="left")
        .select(
            pl.when(pl.col("s").is_not_null() | pl.col("p").is_not_null())
            .then(pl.coalesce("hash", pl.lit([], dtype=pl.List(pl.UInt64))))
            .alias("fragments")
        )
        .to_series()
    )


def _of_systems(distinct_systems: pl.Series, codes: Places) -> tuple[list[Places], list[Hashes]]:
    """Row and hash of what is kept of the system prompt of each request, which is the ``codes``-th."""
    rows, hashes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    begins = np.searchsorted(np.sort(codes), np.arange(len(distinct_systems) + 1))
    whose = np.argsort(codes, kind="stable")
    for portion in in_words(distinct_systems):
        code, found = _of_portion(portion, edges=False)
        times = begins[code + 1] - begins[code]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        rows.append(whose[np.repeat(begins[code], times) + within])
        hashes.append(np.repeat(found, times))
    return rows, hashes


def _of_portion(words: Worded, *, edges: bool) -> tuple[Places, Hashes]:
    """Row and hash of what is kept of each text; may name one twice."""
    grams, first = _grams(words.hashes, words.rows)
    if not len(grams):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
    whose = words.rows[first]
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    ends = np.append(starts[1:], len(grams))
    if edges:
        width = EDGE - WORDS + 1
        found = [
            grams[starts],
            grams[ends - 1],
            *_smallest(grams, starts, np.minimum(starts + width, ends), 2),
            *_smallest(grams, np.maximum(ends - width, starts), ends, 2),
            *_smallest(grams, starts, ends, 1),
        ]
    else:
        found = _smallest(grams, starts, ends, 2)
    rows, hashes = np.tile(whose[starts], len(found)), np.concatenate(found)
    there = hashes != _NONE
    return rows[there], hashes[there]


def _grams(words: Hashes, owner: Places) -> tuple[Hashes, Places]:
    """A well-mixed hash of each WORDS words in a row of one text, and the index of its first word."""
    count = len(words) - WORDS + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    # Sums of one word, of two, of four, of eight: Σ word·STEP^(WORDS - 1 - place).
    total = words
    for width, step in STEPS.items():
        longer = total[:-width] * step
        longer += total[width:]
        total = longer
    first = np.flatnonzero(owner[:count] == owner[WORDS - 1 :])
    return mixed(total[first]), first


def _smallest(grams: Hashes, begin: Places, end: Places, kept: int) -> list[Hashes]:
    """The ``kept`` smallest distinct hashes of each ``grams[begin:end]``, an array a rank; _NONE: there are fewer."""
    lengths = end - begin
    starts = np.cumsum(lengths) - lengths
    if lengths.sum() == len(grams):
        values = grams
    else:
        values = grams[np.arange(lengths.sum()) + np.repeat(begin - starts, lengths)]
    found = []
    for _ in range(kept):
        least = np.minimum.reduceat(values, starts)
        found.append(least)
        values = np.where(values == np.repeat(least, lengths), _NONE, values)
    return found
