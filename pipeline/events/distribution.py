"""Where a prompt lies in the space of prompts, as PHASES bytes of which sums give distances between any sets of them.

Of the words of the last user message: counts in BUCKETS signed buckets by hash (the hashing trick: Weinberger et al.
2009), damped by the square root, as a vector of length 1, turned by a Hadamard matrix of which PHASES rows are kept.
The cosine and the sine of each coordinate are random Fourier features of a Gaussian kernel (Rahimi, Recht 2007; in
pairs: Sutherland, Schneider 2015), so that the distance between the means of two sets estimates the kernel's mean
discrepancy (MMD: Gretton et al. 2012) between what they were drawn from; the formulas
stand in ``pipeline.fingerprint.distributions``.

What is kept is the angle, a 256th of a turn a byte: any bytes are valid, of the same length as any others, and a table
of whole numbers makes the features of them. All up to the last rounding is arithmetic on whole numbers, behind it are
operations that IEEE 754 rounds in one way only: the same on every machine and in any batch.

Cost: ``python -m benchmarks.distribution``, beside the words, which fragments need too. Loses: the order of words, what
stands behind the first ``READ_CHARS`` characters, and much of what single words say: two topics in one style are near
each other. Of scripts without spaces a character is a word; where these are letters (Thai, kana) they tell little.
With hashes only it arrives in ``content.distribution``; with metadata only there is none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.words import Worded, mixed

PHASES: Final = 32
BUCKETS: Final = 64  # as many rows as the matrix has
TURN: Final = 256  # steps of a phase
DISTRIBUTION: Final = pl.Array(pl.UInt8, PHASES)

# Of a vector of length 1: steps a unit along a row. 256/(2π√2), so the kernel is exp(-|x - y|²/4).
_STEPS: Final = 28.8
_ROOT: Final = 16  # counts are damped to whole numbers: a 16th is the smallest difference
_SHIFT: Final = np.uint64(64 - 7)  # the hash's first bits say bucket and sign

_Matrix = npt.NDArray[np.int64]


def phases(rows: int, words: list[Worded]) -> pl.Series:
    """Phases of each of ``rows`` prompts, DISTRIBUTION; null where a prompt has no words.

    Args:
        rows: how many prompts there are.
        words: theirs, by ``in_words``.
    """
    found = np.zeros((rows, PHASES), dtype=np.uint8)
    told = np.zeros(rows, dtype=bool)
    for portion in words:
        first, behind = int(portion.rows[0]), int(portion.rows[-1]) + 1
        told[first:behind], found[first:behind] = _of_portion(portion, first, behind - first)
    place = pl.DataFrame({"at": np.arange(rows, dtype=np.uint32), "told": told})
    at = place.select(pl.when("told").then("at")).to_series()
    return pl.Series("distribution", found, dtype=DISTRIBUTION).gather(at)


def _of_portion(words: Worded, first: int, count: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Which of ``count`` prompts from row ``first`` on have words, and their phases, a row each."""
    place = (mixed(words.hashes) >> _SHIFT).astype(np.int64) * count + (words.rows - first)
    signed = np.bincount(place, minlength=2 * BUCKETS * count).reshape(BUCKETS, 2, count)
    difference = signed[:, 0] - signed[:, 1]
    damped = (np.rint(np.sqrt(np.abs(difference)) * _ROOT) * np.sign(difference)).astype(np.int64)
    length_sq = np.square(damped).sum(axis=0)
    # Words may cancel each other: what is left is the origin, a point like any other.
    length = np.sqrt(np.maximum(length_sq, 1).astype(np.float64))
    steps = np.floor(_turned(damped)[_ROWS].astype(np.float64) * _STEPS / length)
    there: npt.NDArray[np.bool_] = np.bincount(words.rows - first, minlength=count) > 0
    return there, (steps.astype(np.int64) % TURN).astype(np.uint8).T


def _turned(values: _Matrix) -> _Matrix:
    """The Hadamard matrix times ``values``, BUCKETS rows: every entry is 1 or -1, so every sum is a whole number."""
    columns = values.shape[1]
    half = 1
    while half < BUCKETS:
        pair = values.reshape(BUCKETS // (2 * half), 2, half, columns)
        values = np.concatenate((pair[:, :1] + pair[:, 1:], pair[:, :1] - pair[:, 1:]), axis=1)
        half *= 2
    return values.reshape(BUCKETS, columns)


# Rows by hash: rows that are a pattern of their own (all even ones, say) would put buckets together two by two.
_ROWS: Final = np.sort(np.argsort(mixed(np.arange(1, BUCKETS + 1, dtype=np.uint64)))[:PHASES])
