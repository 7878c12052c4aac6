"""JSON objects as columns, of which only the fields that there are are looked for: the others cost as much as these do.

A gateway sends twenty of the sixty fields that are known. Which these are is remembered from batch to batch, and proved
for each: in JSON without escaped quotes a quote before a colon ends a key (or begins a text with a colon: then there
are too many). As many of them as there are values found, and nulls, leave no field that was not looked for. Where the
two numbers differ, all fields are looked for: so what is found never depends on what is remembered.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

# Of all fields; above, looking for those that there are saves little.
MOST_SEEN: Final = 0.75
LONGEST_PAUSE: Final = 64  # batches

_COLON, _QUOTE, _SPACE = b':" '


class Seen:
    """The fields of ``schema`` (all of text) that there were in the batches so far. One a stream of batches."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self._names: frozenset[str] = frozenset()
        self._schema = schema
        self._filled: list[pl.Expr] = []
        self._pause = 0  # batches to come in which all fields are looked for at once
        self._last_pause = 0

    def read(self, text: bytes) -> pl.DataFrame:
        """Columns of ``schema`` from lines of JSON objects that hold no backslash before a quote.

        Raises:
            PolarsError, PanicException: as ``polars.read_ndjson``.
        """
        if self._pause or len(self._names) > MOST_SEEN * len(self.schema):
            self._pause = max(0, self._pause - 1)
            return self._whole(text)
        keys = _keys(text) if self._names else None
        if keys is None:
            return self._whole(text)
        columns = pl.read_ndjson(text, schema=self._schema)
        found = columns.height * columns.width - sum(columns.null_count().row(0))
        if found != keys and found + _nulls(text) != keys:
            # What comes now has other fields, or objects in objects: the next may be the same.
            self._pause = self._last_pause = min(LONGEST_PAUSE, 2 * self._last_pause + 1)
            return self._whole(text)
        self._last_pause = 0
        return columns.select(self._filled)

    def _whole(self, text: bytes) -> pl.DataFrame:
        columns = pl.read_ndjson(text, schema=self.schema)
        there = {name for name in self.schema if columns[name].null_count() < columns.height}
        if not there <= self._names:
            self._names |= there
            self._schema = pl.Schema((name, kind) for name, kind in self.schema.items() if name in self._names)
            self._filled = [
                pl.col(name) if name in self._names else pl.lit(None, kind).alias(name)
                for name, kind in self.schema.items()
            ]
        return columns


def _keys(text: bytes) -> int | None:
    """Keys of all objects, and texts that begin with a colon; None where blanks before colons would hide some."""
    codes = np.frombuffer(text, np.uint8)
    before = codes[np.flatnonzero(codes == _COLON) - 1]
    return None if (before <= _SPACE).any() else int(np.count_nonzero(before == _QUOTE))


def _nulls(text: bytes) -> int:
    return text.count(b'":null') + text.count(b'": null')
