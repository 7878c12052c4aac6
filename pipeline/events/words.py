"""Words of normalised texts as 64-bit hashes, in bulk: what fragments and prompt distributions are made of.

A word is a run of letters and digits; case, punctuation and white space do not count, nor do letters of another script
that look like Latin ones (a few dozen of Unicode's confusables, UTS 39). Of scripts without spaces (Chinese, Japanese,
Thai, Lao) each character is a word. What stands behind the first READ_CHARS characters is not read, so that 2 MB of one
letter cost nothing.

Cost: about a pass over the bytes of the text, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

READ_CHARS: Final = 4000

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers never vanish
_LONGEST_WORD: Final = 64  # bytes; what is longer is cut into words of that length
# Letters that look alike, for a reader: Unicode's confusables (UTS 39), Cyrillic and Greek in small letters.
_ALIKE: Final = dict(zip("аеорсухіјѕһԁԛԝкмтвнοανρτυχικεη", "aeopcyxijshdqwkmtbhoavptuxiken", strict=True))
# Bytes of UTF-8. NumPy compares unsigned bytes many at a time, which a table of 256 would not be.
_LOW_A, _ZERO, _BEYOND_ASCII, _FIRST_BYTE, _KANA, _RARE = (
    np.uint8(value) for value in (97, 48, 0x80, 0xC0, 0xE3, 0xF0)
)
_LETTERS, _DIGITS, _IDEOGRAPHS = np.uint8(26), np.uint8(10), np.uint8(7)
_CHUNK_BYTES: Final = 200_000  # of text at a time: arrays of eight times that stay in the processor's cache
_POWERS_STEP: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Worded:
    """Words of some texts in a row, in their order: a hash each, and the row of the text that it stands in.

    The hash is that of the word alone and not well mixed: ``mixed`` it before bits of it are used.
    """

    hashes: Hashes
    rows: Places  # ascending; a text without words has none


def in_words(texts: pl.Series) -> list[Worded]:
    """Cut ``normalised`` texts into words; null has none. In portions that fit into the processor's cache."""
    cut = texts.str.slice(0, READ_CHARS)
    found = []
    for begin, end in _chunks(cut):
        at = cut[begin:end].is_not_null().arg_true()
        hashes, owner = _words(cut[begin:end].gather(at))
        if len(hashes):
            found.append(Worded(hashes, at.to_numpy()[owner].astype(np.int64) + begin))
    return found


def mixed(values: Hashes) -> Hashes:
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input changes half of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _chunks(texts: pl.Series) -> list[tuple[int, int]]:
    """Slices of about _CHUNK_BYTES each."""
    reach = texts.str.len_bytes().fill_null(0).cast(pl.Int64).cum_sum().to_numpy() // _CHUNK_BYTES
    edges = [0, *(np.flatnonzero(np.diff(reach)) + 1).tolist(), len(texts)]
    return list(pairwise(edges))


def _words(texts: pl.Series) -> tuple[Hashes, Places]:
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
def _powers(count: int) -> tuple[Hashes, Hashes]:
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


def _cut_long(starts: Places, inside: npt.NDArray[np.bool_]) -> Places:
    """Cut words of more than _LONGEST_WORD bytes, as base64 or a million of one letter are."""
    lengths = np.diff(starts, append=len(inside))
    if lengths.max() <= _LONGEST_WORD:
        return starts
    pieces = -(-lengths // _LONGEST_WORD)
    index = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = np.repeat(starts, pieces) + index * _LONGEST_WORD
    # What stands behind the end of a word is a gap: no piece begins there.
    return np.asarray(cut[inside[cut]])
