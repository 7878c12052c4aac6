"""Fragments: fingerprints of k words in a row, of which few are kept, so that a passage shows wherever it stands.

A campaign injects one passage before, behind or around a task that changes each time, in the system prompt or in the
user's message. Its *fragments* stay the same: 64-bit hashes of WORDS consecutive words. Kept are, of the last user
message, the first and the last, the two smallest hashes of its first EDGE words and of its last, and the smallest of
the whole; of the system prompt the two smallest. What is kept depends on the text alone (local minima of a hash, as in
winnowing: Schleimer, Wilkerson, Aiken 2003), so the same passage at the same place gives mostly the same fragments,
whatever surrounds it, in any process and version.

A word is a run of letters and digits; case, punctuation and white space do not count, nor do letters of another script
that look like Latin ones (a few dozen of Unicode's confusables, UTS 39). Of scripts without spaces (Chinese, Japanese,
Thai, Lao) each character is a word. Texts of fewer than WORDS words have no fragments.

Cost: about a pass over the bytes of the text, whatever it says. Loses: passages that are reworded all through, that
stand in the middle of long payloads (less likely the longer these are; ``python -m benchmarks.passages`` prints how
likely), and what stands behind the first READ_CHARS characters. With hashes only they arrive in ``content.fragments``;
with metadata only there are none.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

WORDS: Final = 8
EDGE: Final = 40
MOST: Final = 9  # fragments an event
READ_CHARS: Final = 4000

_Words = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers never vanish
_STEP: Final = np.uint64(0xD6E8FEB86659FD93)
_LONGEST_WORD: Final = 64  # bytes; what is longer is cut into words of that length
_NONE: Final = np.uint64(2**64 - 1)
# Letters that look alike, for a reader: Unicode's confusables (UTS 39), Cyrillic and Greek in small letters.
_ALIKE: Final = dict(zip("аеорсухіјѕһԁԛԝкмтвнοανρτυχικεη", "aeopcyxijshdqwkmtbhoavptuxiken", strict=True))
# Bytes of UTF-8. NumPy compares unsigned bytes many at a time, which a table of 256 would not be.
_LOW_A, _ZERO, _BEYOND_ASCII, _FIRST_BYTE, _KANA, _RARE = (
    np.uint8(value) for value in (97, 48, 0x80, 0xC0, 0xE3, 0xF0)
)
_LETTERS, _DIGITS, _IDEOGRAPHS = np.uint8(26), np.uint8(10), np.uint8(7)
_CHUNK_BYTES: Final = 200_000  # of text at a time: arrays of eight times that stay in the processor's cache
_POWERS_STEP: Final = 1 << 18


def fragments(systems: pl.Series, prompts: pl.Series) -> pl.Series:
    """Fragments of each request, ascending: at most MOST, as lists of UInt64; null where there is no text.

    Args:
        systems: ``normalised`` system prompts, null where there is none.
        prompts: ``normalised`` last user messages, null where there is none.
    """
    count = len(prompts)
    rows, hashes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    for texts, edges in ((systems, False), (prompts, True)):
        cut = texts.str.slice(0, READ_CHARS)
        for begin, end in _chunks(cut):
            row, found = _of_texts(cut[begin:end], edges=edges)
            rows.append(row + begin)
            hashes.append(found)
    kept = (
        pl.DataFrame({"row": np.concatenate(rows), "hash": np.concatenate(hashes)})
        .unique()
        .sort("row", "hash")
        .group_by("row", maintain_order=True)
        .agg("hash")
    )
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


def _chunks(texts: pl.Series) -> list[tuple[int, int]]:
    """Slices of about _CHUNK_BYTES each."""
    reach = texts.str.len_bytes().fill_null(0).cast(pl.Int64).cum_sum().to_numpy() // _CHUNK_BYTES
    edges = [0, *(np.flatnonzero(np.diff(reach)) + 1).tolist(), len(texts)]
    return list(pairwise(edges))


def _of_texts(texts: pl.Series, *, edges: bool) -> tuple[_Places, _Words]:
    """Row and hash of what is kept of each text; may name one twice."""
    at = texts.is_not_null().arg_true()
    words, owner = _words(texts.gather(at))
    grams, first = _grams(words, owner)
    if not len(grams):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
    whose = owner[first]
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
    places = at.to_numpy()[whose[starts]].astype(np.int64)
    rows, hashes = np.tile(places, len(found)), np.concatenate(found)
    there = hashes != _NONE
    return rows[there], hashes[there]


def _words(texts: pl.Series) -> tuple[_Words, _Places]:
    """A hash of each word, and the index of the text it stands in."""
    if texts.is_empty():
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    others = (texts.str.len_bytes() > texts.str.len_chars()).arg_true()
    if len(others):
        plain = texts.gather(others).str.replace_many(_ALIKE)
        # Thai and Lao take three bytes of which the first says little: each character is set apart by blanks.
        texts = texts.scatter(others, plain.str.replace_all(r"([\p{Thai}\p{Lao}])", " $1 "))
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    # A line feed behind each text: no word reaches from one into the next.
    raw = np.frombuffer((texts.str.join("\n")[0] + "\n").encode(), dtype=np.uint8)
    # Unsigned bytes: what is below the first of a range wraps around to far above its last.
    inside = (raw - _LOW_A < _LETTERS) | (raw - _ZERO < _DIGITS) | (raw >= _BEYOND_ASCII)
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    if len(others):
        # Kana, ideographs and emoji are words of one character; what follows them begins another.
        alone = (raw - _KANA < _IDEOGRAPHS) | (raw == _RARE)
        begins |= alone | _after(alone, raw)
    starts = np.flatnonzero(begins)
    if not len(starts):
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    starts = _cut_long(starts, inside)
    # Σ byte·BASE^place over a word, divided by BASE^start: the same wherever in the batch the word stands.
    power, inverse = _powers(-(-len(raw) // _POWERS_STEP) * _POWERS_STEP)
    value = (raw * inside).astype(np.uint64)  # gaps add nothing
    hashes = np.add.reduceat(value * power[: len(raw)], starts) * inverse[starts]
    before = np.searchsorted(starts, np.cumsum(lengths + 1))
    return hashes, np.repeat(np.arange(len(lengths)), np.diff(before, prepend=0))


@cache
def _powers(count: int) -> tuple[_Words, _Words]:
    """Powers of _BASE and of its inverse modulo 2^64, from the 0th on."""
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    power, back = np.full(count, _BASE), np.full(count, inverse)
    power[0] = back[0] = 1
    return np.cumprod(power), np.cumprod(back)


def _after(alone: npt.NDArray[np.bool_], raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where characters that are words by themselves end and a letter follows: one of three bytes, or of four."""
    behind = np.zeros(len(raw), dtype=bool)
    at = np.flatnonzero(alone)
    at = at + 3 + (raw[at] == _RARE)
    behind[at[at < len(raw)]] = True
    return behind & ((raw - _LOW_A < _LETTERS) | (raw - _ZERO < _DIGITS) | (raw >= _FIRST_BYTE))


def _cut_long(starts: _Places, inside: npt.NDArray[np.bool_]) -> _Places:
    """Cut words of more than _LONGEST_WORD bytes, as base64 or a million of one letter are."""
    lengths = np.diff(starts, append=len(inside))
    if lengths.max() <= _LONGEST_WORD:
        return starts
    pieces = -(-lengths // _LONGEST_WORD)
    index = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = np.repeat(starts, pieces) + index * _LONGEST_WORD
    # What stands behind the end of a word is a gap: no piece begins there.
    return np.asarray(cut[inside[cut]])


def _grams(words: _Words, owner: _Places) -> tuple[_Words, _Places]:
    """A well-mixed hash of each WORDS words in a row of one text, and the index of its first word."""
    count = len(words) - WORDS + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(WORDS):
        total = total * _STEP + words[offset : offset + count]
    first = np.flatnonzero(owner[:count] == owner[WORDS - 1 :])
    return _mixed(total[first]), first


def _mixed(values: _Words) -> _Words:
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input changes half of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _smallest(grams: _Words, begin: _Places, end: _Places, kept: int) -> list[_Words]:
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
