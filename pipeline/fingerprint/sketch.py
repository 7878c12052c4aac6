"""Bottom-k sketches and tallies: how they are made in bulk, merged, and what may be read from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.events.batch import told
from pipeline.events.cues import KINDS
from pipeline.fingerprint.grouping import Groups, Hashes, Ints, code_integers
from pipeline.fingerprint.schema import (
    SKETCH_SIZE,
    TALLY_CODE_BITS,
    TALLY_INPUT_TOKENS,
    TALLY_LANGUAGE,
    TALLY_LATENCY_MS,
    TALLY_OUTPUT_TOKENS,
    TALLY_REQUEST_KIND,
)

# Positions are part of the stored format: only ever append, at most 254. Index 0 is for what is not listed.
LANGUAGES: Final = (
    "?", "en", "zh", "ja", "ko", "ru", "es", "fr", "de", "pt", "it", "ar", "hi", "vi", "th", "id", "tr", "pl", "nl",
    "uk", "fa", "he", "el", "cs", "sv", "ro", "hu", "fi", "da", "no", "bg", "sr", "hr", "sk", "sl", "et", "lv", "lt",
    "ca", "bn", "ta", "te", "mr", "gu", "kn", "ml", "pa", "ur", "ne", "si", "my", "km", "lo", "ka", "hy", "az", "kk",
    "uz", "mn", "ms", "tl", "sw", "af", "sq", "mk", "be", "is", "ga", "cy", "eu", "gl", "la", "eo", "am", "so", "yo",
    "zu", "Latn", "Cyrl", "Hans", "Hant", "Hani", "Hira", "Kana", "Jpan", "Hang", "Kore", "Arab", "Hebr", "Grek",
    "Deva", "Beng", "Thai", "Taml", "Telu", "Gujr", "Guru", "Knda", "Mlym", "Sinh", "Laoo", "Mymr", "Khmr", "Geor",
    "Armn", "Ethi", "Tibt", "Mong", "Zyyy",
)  # fmt: skip

_CODES: Final = 1 << TALLY_CODE_BITS  # feature (4 bits) and bucket (8 bits)
_HASH_SPACE: Final = float(2**64)


def bit_length(values: Ints) -> Ints:
    """Bucket of a value: 0 → 0, 1 → 1, 2 and 3 → 2, 4 to 7 → 3, …; negative values count as 0."""
    # frexp's exponent is the bit length; float64 holds 53 bits, more than any token count or latency that is accepted.
    return np.frexp(np.maximum(values, 0).astype(np.float64))[1].astype(np.int64)


def tally_codes(events: pl.DataFrame) -> list[Ints]:
    """Feature and bucket in 12 bits, a row each, -1 where the event does not tell; one array a feature that occurs."""
    found = []
    for feature, name in (
        (TALLY_INPUT_TOKENS, "input_tokens"),
        (TALLY_OUTPUT_TOKENS, "output_tokens"),
        (TALLY_LATENCY_MS, "latency_ms"),
    ):
        column = told(events, name)
        if column is None:
            continue
        codes = bit_length(column.fill_null(0).to_numpy()) | (feature << 8)
        found.append(np.where(column.is_null().to_numpy(), -1, codes) if column.null_count() else codes)
    # A language that is not listed counts as such; a kind that is not, which a newer ingest may know, does not.
    for feature, name, listed, other in (
        (TALLY_LANGUAGE, "language", LANGUAGES, 0),
        (TALLY_REQUEST_KIND, "request_kind", KINDS, None),
    ):
        column = told(events, name)
        if column is None:
            continue
        index = column.replace_strict(
            list(listed),
            range(len(listed)),
            default=pl.when(column.is_null()).then(None).otherwise(other),
            return_dtype=pl.Int64,
        )
        codes = index.fill_null(-1).to_numpy()
        found.append(np.where(codes < 0, -1, codes | (feature << 8)))
    return found


def tally(members: Ints, groups: int, codes: Sequence[Ints]) -> pl.Series:
    """Histogram entries of each group as a list column, ascending."""
    if not codes:
        return _lists(np.zeros(groups, dtype=np.int64), np.empty(0, dtype=np.uint64))
    keys = np.concatenate(
        [
            (members[known] << TALLY_CODE_BITS) | code[known]
            for code in codes
            for known in ((code >= 0) & (members >= 0),)
        ]
    )
    keys.sort()
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else keys
    counts = np.diff(starts, append=len(keys))
    unique = keys[starts]
    entries = (counts << TALLY_CODE_BITS) | (unique & (_CODES - 1))
    return _lists(np.bincount(unique >> TALLY_CODE_BITS, minlength=groups), entries.astype(np.uint64))


def merge_tallies(groups: Groups, column: pl.Series) -> pl.Series:
    """Add the histograms of the rows of each group."""
    owner, values = _exploded(groups, column)
    if len(values) == 0:
        return _lists(np.zeros(len(groups.starts), dtype=np.int64), values)
    entries = values.astype(np.int64)
    keys = (owner << TALLY_CODE_BITS) | (entries & (_CODES - 1))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    totals = np.add.reduceat((entries >> TALLY_CODE_BITS)[order], starts)
    merged = (totals << TALLY_CODE_BITS) | (keys[starts] & (_CODES - 1))
    return _lists(np.bincount(keys[starts] >> TALLY_CODE_BITS, minlength=len(groups.starts)), merged.astype(np.uint64))


def tallies_of_version_3(column: pl.Series) -> pl.Series:
    """Tallies as deltas up to version 3 have them, ``code << 32 | count``, as they are now."""
    entry = pl.element()
    count, code = entry & pl.lit(2**32 - 1, pl.UInt64), entry // 2**32
    return column.list.eval(count * _CODES + code)


def sketches(members: Ints, groups: int, hashes: pl.Series | None) -> pl.Series:
    """Bottom-k sketch of each group as a list column, ascending."""
    if hashes is None or hashes.null_count() == len(hashes):
        return empty_lists(groups)
    coded = code_integers(hashes)
    assert coded is not None
    # Codes of sorted distinct hashes keep their order, so (group, code) packs into one integer that sorts likewise.
    bits = max(coded.size.bit_length(), 1)
    known = (members >= 0) & (coded.codes >= 0)
    keys = np.sort((members[known] << bits) | coded.codes[known])
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))] if len(keys) else keys
    return _smallest(keys >> bits, coded.values.to_numpy()[keys & ((1 << bits) - 1)], groups)


def merge_sketches(groups: Groups, column: pl.Series) -> pl.Series:
    """Unite the sketches of the rows of each group."""
    owner, values = _exploded(groups, column)
    order = np.lexsort((values, owner))
    owner, values = owner[order], values[order]
    if len(values):
        new = np.concatenate(([True], (values[1:] != values[:-1]) | (owner[1:] != owner[:-1])))
        owner, values = owner[new], values[new]
    return _smallest(owner, values, len(groups.starts))


def sketch_distinct(sketch: Sequence[int]) -> float:
    """Estimate how many distinct values went in: exact below SKETCH_SIZE, then with about 18 % standard error."""
    if len(sketch) < SKETCH_SIZE:
        return float(len(sketch))
    return (SKETCH_SIZE - 1) * _HASH_SPACE / (max(sketch) + 1)


def tally_counts(entries: Sequence[int], feature: int) -> dict[int, int]:
    """Bucket → count of one feature."""
    found: dict[int, int] = {}
    for entry in entries:
        entry_feature, bucket = divmod(entry % _CODES, 256)
        if entry_feature == feature:
            found[bucket] = found.get(bucket, 0) + (entry >> TALLY_CODE_BITS)
    return found


def tally_quantile(entries: Sequence[int], feature: int, quantile: float) -> float | None:
    """Estimate a quantile of a log2 histogram, linear within its bucket; None where nothing was counted."""
    counts = tally_counts(entries, feature)
    rank = quantile * sum(counts.values())
    seen = 0
    for bucket, count in sorted(counts.items()):
        if seen + count >= rank:
            low, high = (0, 0) if bucket == 0 else (2 ** (bucket - 1), 2**bucket)
            return low + (high - low) * (rank - seen) / count
        seen += count
    return None


def empty_lists(length: int) -> pl.Series:
    """A column of empty lists."""
    return _lists(np.zeros(length, dtype=np.int64), np.empty(0, dtype=np.uint64))


def _exploded(groups: Groups, column: pl.Series) -> tuple[Ints, Hashes]:
    ordered = column.gather(groups.order)
    lengths = ordered.list.len().to_numpy().astype(np.int64)
    owner = np.repeat(np.repeat(np.arange(len(groups.starts)), groups.count()), lengths)
    values = ordered.filter(ordered.list.len() > 0).explode()
    return owner, values.to_numpy().astype(np.uint64)


def _smallest(owner: Ints, values: Hashes, groups: int) -> pl.Series:
    """Keep the first SKETCH_SIZE of each owner; both arrays are in order of (owner, value)."""
    counts = np.bincount(owner, minlength=groups).astype(np.int64)
    firsts = np.concatenate(([0], np.cumsum(counts)[:-1])) if groups else counts
    kept = np.arange(len(owner)) - firsts[owner] < SKETCH_SIZE
    return _lists(np.minimum(counts, SKETCH_SIZE), values[kept])


def _lists(lengths: Ints, values: Hashes) -> pl.Series:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    array = pa.LargeListArray.from_arrays(pa.array(offsets, type=pa.int64()), pa.array(values, type=pa.uint64()))
    return pl.Series(array, dtype=pl.List(pl.UInt64))
