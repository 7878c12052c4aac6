"""Passages of a model's outputs and of what is sent to it, so that an output shows when it comes back as an input.

Outputs are unique: to keep fragments of every one would multiply what is stored. So passages are sampled, by their own
hash, alike on both sides: of all WORDS words in a row (coordinated sampling: Broder 1997, in his words "modulo m"),
about one in EVERY, whatever surrounds them. A passage is sampled in the output and in the input, or in neither. Of each
request at most MOST are kept, the smallest hashes.

- ``loop_out``: of the response.
- ``loop_in``: of the user's messages, all of them, and of the system prompt. Never of the assistant's: an ordinary chat
  sends them again with every turn.

Of a word its first eight bytes count. What a word is says words.py.

Cost: ``python -m benchmarks.text``; of an English response of 1 KB half of what cutting a prompt into words takes, of
prompts little beside their words. Loses: most outputs of fewer than EVERY words (of 60 words four in five leave
nothing: it takes many requests), outputs that are reworded all through, and what stands behind the first READ_CHARS
characters. With hashes only they arrive in ``content.loop_out`` and ``content.loop_in``; with metadata only, and where
responses are not told, there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.fragments import STEPS, WORDS
from pipeline.events.template import distinct
from pipeline.events.words import Hashes, Heads, Places, Worded, mixed, word_heads

EVERY: Final = 256
MOST: Final = 8  # passages an event, of each side

_TURN: Final = np.uint64(0x9E3779B97F4A7C15)
_BELOW: Final = np.uint64(2**64 // EVERY)

_Found = tuple[Places, Hashes]


def loop_out(responses: pl.Series) -> pl.Series:
    """Passages of each response, ascending: at most MOST, as lists of UInt64; null where there is none."""
    return _lists(len(responses), _sampled(word_heads(responses)))


def loop_in(systems: pl.Series, earlier: pl.Series, prompt_words: list[Worded]) -> pl.Series:
    """Passages of what each request sends to the model, as ``loop_out`` has those of responses.

    Args:
        systems: system prompts; null: none.
        earlier: the user's messages before the last one; null: none.
        prompt_words: ``in_words`` of the last one, which others need too.
    """
    firsts, codes = distinct(systems)
    found = [
        *_sampled(one.heads for one in prompt_words),
        *_sampled(word_heads(earlier)),
        *_of_codes(_sampled(word_heads(systems.gather(firsts))), codes),
    ]
    return _lists(len(systems), found)


def _of_codes(found: Iterable[_Found], codes: Places) -> Iterator[_Found]:
    """Of what was found of distinct texts, rows in place of the texts' ``codes``."""
    whose = np.argsort(codes, kind="stable")
    begins = np.searchsorted(codes[whose], np.arange(codes.max(initial=-1) + 2))
    for code, hashes in found:
        times = begins[code + 1] - begins[code]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        yield whose[np.repeat(begins[code], times) + within], np.repeat(hashes, times)


def _sampled(texts: Iterable[Heads]) -> Iterator[_Found]:
    """Row and hash of each sampled passage; may name one twice."""
    for words in texts:
        count = len(words.values) - WORDS + 1
        if count <= 0:
            continue
        # Sums of one word, of two, of four, of eight, as fragments are.
        total = words.values * _TURN
        for width, step in STEPS.items():
            longer = total[:-width] * step
            longer += total[width:]
            total = longer
        total *= _TURN
        first = np.flatnonzero(total < _BELOW)
        rows = words.rows[first]
        whole = rows == words.rows[first + WORDS - 1]
        yield rows[whole], mixed(total[first[whole]])


def _lists(count: int, found: Iterable[_Found]) -> pl.Series:
    """The MOST smallest distinct hashes of each of ``count`` rows."""
    rows, hashes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    for row, of_row in found:
        rows.append(row)
        hashes.append(of_row)
    kept = (
        pl.DataFrame({"row": np.concatenate(rows), "hash": np.concatenate(hashes)})
        .group_by("row")
        .agg(pl.col("hash").unique().bottom_k(MOST).sort())
        .sort("row")
    )
    at = pl.Series([None], dtype=pl.UInt32).new_from_index(0, count)
    return kept["hash"].gather(at.scatter(kept["row"], range(len(kept))))
