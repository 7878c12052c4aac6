"""Words of normalised texts as 64-bit hashes, in bulk: what fragments and prompt distributions are made of.

A word is a run of letters and digits; case, punctuation and white space do not count, nor do letters of another script
that look like Latin ones (a few dozen of Unicode's confusables, UTS 39). Of scripts without spaces (Chinese, Japanese,
Thai, Lao) each character is a word. What stands behind the first READ_CHARS characters is not read, so that 2 MB of one
letter cost nothing.

Cost: some passes over the bytes of the text and a few steps a word, whatever it says; half of it where only the heads
of words are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.template import lowered

READ_CHARS: Final = 4000

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers never vanish
_LONGEST_WORD: Final = 64  # bytes; what is longer is cut into words of that length
# Letters that look alike, for a reader: Unicode's confusables (UTS 39), Cyrillic and Greek in small letters.
_ALIKE: Final = dict(zip("аеорсухіјѕһԁԛԝкмтвнοανρτυχικεη", "aeopcyxijshdqwkmtbhoavptuxiken", strict=True))
# Bytes of UTF-8. NumPy compares unsigned bytes many at a time, which a table of 256 would not be.
_LOW_A, _CAPITAL_A, _ZERO, _BEYOND_ASCII, _FIRST_BYTE, _KANA, _RARE = (
    np.uint8(value) for value in (97, 65, 48, 0x80, 0xC0, 0xE3, 0xF0)
)
_CASE: Final = np.uint8(5)  # a capital is its letter less 1 << 5
_LETTERS, _DIGITS, _IDEOGRAPHS = np.uint8(26), np.uint8(10), np.uint8(7)
_CHUNK_BYTES: Final = 100_000  # of text at a time: arrays of their words stay in the processor's cache
_STRIDE: Final = 8  # bytes at a time
_POWERS: Final = np.array([pow(int(_BASE), place, 2**64) for place in range(_LONGEST_WORD)], dtype=np.uint64)
_ONE, _ONES, _HIGHS = np.uint64(1), np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)  # in each byte
_FIRST: Final = np.array([(1 << 8 * count) - 1 for count in range(_STRIDE + 1)], dtype=np.uint64)  # masks of bytes


@dataclass(frozen=True, slots=True)
class Heads:
    """The first eight bytes of each word as one number, in the words' order, and the row of its text."""

    values: Hashes
    rows: Places  # ascending


@dataclass(frozen=True, slots=True)
class Worded:
    """Words of some texts in a row, in their order: a hash each, and the row of the text that it stands in.

    The hash is that of the word alone and not well mixed: ``mixed`` it before bits of it are used.
    """

    hashes: Hashes
    rows: Places  # ascending; a text without words has none
    heads: Heads


def in_words(texts: pl.Series) -> list[Worded]:
    """Cut ``normalised`` texts into words; null has none. In portions that fit into the processor's cache."""
    at = texts.is_not_null().arg_true()
    rows, lengths, encoded = _encoded(at, texts.gather(at).str.slice(0, READ_CHARS))
    found = []
    for begin, end in _chunks(lengths):
        raw = _joined(encoded[begin:end])
        starts, ends = _words(raw)
        if len(starts):
            owner = rows[begin:end][_owners(starts, lengths[begin:end])]
            heads = eight_bytes(raw, starts, ends - starts)
            found.append(Worded(_hashed(raw, starts, ends - starts, heads), owner, Heads(heads, owner)))
    return found


def word_heads(texts: pl.Series) -> list[Heads]:
    """The heads of the words of texts as they come, the same as ``in_words`` has them of the ``normalised`` ones.

    For text of which nothing else is wanted: ASCII, as most is, is made small letters byte by byte.
    """
    at = texts.is_not_null().arg_true()
    cut = texts.gather(at).str.slice(0, READ_CHARS)
    other = (cut.str.len_bytes() > cut.str.len_chars()) | cut.str.contains("\0", literal=True)
    # One by one kind: where no letter is of three bytes, less is looked at.
    return [
        *_heads(at.filter(~other), cut.filter(~other)),
        *_heads(at.filter(other), lowered(cut.filter(other))),
    ]


def _heads(at: pl.Series, cut: pl.Series) -> Iterator[Heads]:
    """Heads of the words of each text."""
    rows, lengths, encoded = _encoded(at, cut)
    for begin, end in _chunks(lengths):
        raw = _small_letters(_joined(encoded[begin:end]))
        starts, heads = _begins(raw)
        if len(starts):
            yield Heads(heads, rows[begin:end][_owners(starts, lengths[begin:end])])


def _encoded(at: pl.Series, cut: pl.Series) -> tuple[Places, Places, list[bytes]]:
    """Row, length in bytes and UTF-8 of each text, with letters that look alike made one."""
    others = (cut.str.len_bytes() > cut.str.len_chars()).arg_true()
    if len(others):
        plain = cut.gather(others).str.replace_many(_ALIKE)
        # Thai and Lao take three bytes of which the first says little: each character is set apart by blanks.
        cut = cut.scatter(others, plain.str.replace_all(r"([\p{Thai}\p{Lao}])", " $1 "))
    return (
        at.to_numpy().astype(np.int64),
        cut.str.len_bytes().to_numpy().astype(np.int64),
        cut.cast(pl.Binary).to_list(),
    )


def mixed(values: Hashes) -> Hashes:
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input changes half of the output."""
    made = values >> np.uint64(30)  # in place from here on: a new array a step would take as long as the step
    made ^= values
    for factor, shift in ((0xBF58476D1CE4E5B9, 27), (0x94D049BB133111EB, 31)):
        made *= np.uint64(factor)
        made ^= made >> np.uint64(shift)
    return made


def _chunks(lengths: Places) -> Iterator[tuple[int, int]]:
    """Slices of about _CHUNK_BYTES each."""
    edges = np.flatnonzero(np.diff(np.cumsum(lengths) // _CHUNK_BYTES)) + 1
    return pairwise([0, *edges.tolist(), len(lengths)])


def _joined(texts: list[bytes]) -> Bytes:
    """The bytes of texts, a line feed behind each: no word reaches from one into the next."""
    return np.frombuffer(b"\n".join([*texts, b""]), dtype=np.uint8)


def _owners(starts: Places, lengths: Places) -> Places:
    """The index of the text that each word stands in, of texts of these lengths."""
    before = np.searchsorted(starts, np.cumsum(lengths + 1))
    return np.repeat(np.arange(len(lengths)), np.diff(before, prepend=0))


def _small_letters(raw: Bytes) -> Bytes:
    """Capitals of ASCII made small."""
    return raw + ((raw - _CAPITAL_A < _LETTERS).view(np.uint8) << _CASE)


def _inside(raw: Bytes) -> tuple[Flags, Flags]:
    """Which bytes belong to a word, and which begin one."""
    # Unsigned bytes: what is below the first of a range wraps around to far above its last.
    inside = (raw - _LOW_A < _LETTERS) | (raw - _ZERO < _DIGITS) | (raw >= _BEYOND_ASCII)
    begins = inside.copy()
    np.greater(inside[1:], inside[:-1], out=begins[1:])
    if (raw >= _KANA).any():
        # Kana, ideographs and emoji are words of one character; what follows them begins another.
        alone = (raw - _KANA < _IDEOGRAPHS) | (raw == _RARE)
        begins |= alone | _after(alone, raw)
    return inside, begins


def _words(raw: Bytes) -> tuple[Places, Places]:
    """Where each word begins, and where it ends."""
    return _with_ends(*_inside(raw))


def _with_ends(inside: Flags, begins: Flags) -> tuple[Places, Places]:
    starts = np.flatnonzero(begins)
    if not len(starts):
        return starts, starts
    # A word ends behind a letter of it, where another begins or none does: the line feed ends the last.
    ends = begins | ~inside
    ends[1:] &= inside[:-1]
    ends[0] = False
    return _cut_long(starts, np.flatnonzero(ends))


def _begins(raw: Bytes) -> tuple[Places, Hashes]:
    """Where each word begins, and its head; without looking for ends where no word is long and none ideographic."""
    inside, begins = _inside(raw)
    starts = np.flatnonzero(begins)
    if not len(starts):
        return starts, np.empty(0, dtype=np.uint64)
    # A word is no longer than it is to the next one, or to the line feed behind the last.
    if (raw >= _KANA).any() or np.diff(starts, append=len(raw)).max() > _LONGEST_WORD:
        starts, ends = _with_ends(inside, begins)
        return starts, eight_bytes(raw, starts, ends - starts)
    heads = eight_bytes(raw * inside, starts)
    # Up to the first zero byte: the lowest bit that is set here is that byte's highest.
    zeros = (heads - _ONES) & ~heads & _HIGHS
    heads &= (zeros & (~zeros + _ONE)) - _ONE
    return starts, heads


def _hashed(raw: Bytes, starts: Places, lengths: Places, heads: Hashes) -> Hashes:
    """Σ byte·BASE^place over each word, modulo 2^64: by eight bytes at a time, of which most words have no more."""
    hashes = _summed(heads)
    longer, done = np.flatnonzero(lengths > _STRIDE), _STRIDE
    while len(longer):
        more = _summed(eight_bytes(raw, starts[longer] + done, lengths[longer] - done))
        hashes[longer] += more * _POWERS[done]
        done += _STRIDE
        longer = longer[lengths[longer] > done]
    return hashes


def eight_bytes(raw: Bytes, starts: Places, lengths: Places | None = None) -> Hashes:
    """The first eight bytes of each word as one number, the first byte the smallest; zeros behind a shorter word.

    Without ``lengths`` what follows a shorter word stays.
    """
    padded = np.concatenate((raw, np.zeros(_STRIDE, dtype=np.uint8)))
    from_each: Hashes = np.ndarray((len(raw),), np.dtype("<u8"), padded.data, strides=(1,))
    found: Hashes = from_each.take(starts, mode="clip")
    if lengths is not None:
        found &= _FIRST.take(lengths, mode="clip")
    return found


def _summed(eights: Hashes) -> Hashes:
    single = eights.astype("<u8", copy=False).view(np.uint8)
    total = single[::_STRIDE].astype(np.uint64)
    for place in range(1, _STRIDE):
        total += single[place::_STRIDE] * _POWERS[place]
    return total


def _after(alone: Flags, raw: Bytes) -> Flags:
    """Where characters that are words by themselves end and a letter follows: one of three bytes, or of four."""
    behind = np.zeros(len(raw), dtype=bool)
    at = np.flatnonzero(alone)
    at = at + 3 + (raw[at] == _RARE)
    behind[at[at < len(raw)]] = True
    return behind & ((raw - _LOW_A < _LETTERS) | (raw - _ZERO < _DIGITS) | (raw >= _FIRST_BYTE))


def _cut_long(starts: Places, ends: Places) -> tuple[Places, Places]:
    """Cut words of more than _LONGEST_WORD bytes, as base64 or a million of one letter are."""
    lengths = ends - starts
    if lengths.max() <= _LONGEST_WORD:
        return starts, ends
    pieces = -(-lengths // _LONGEST_WORD)
    index = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut = np.repeat(starts, pieces) + index * _LONGEST_WORD
    return cut, np.minimum(cut + _LONGEST_WORD, np.repeat(ends, pieces))
