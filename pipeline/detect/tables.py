"""What detection needs of the store's transaction."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from pipeline.rules.run import Tx


class WriteTx(Tx, Protocol):
    """An open transaction that takes frames."""

    def insert(self, table: str, frame: pl.DataFrame) -> object:
        """Append a frame to a table, columns by name."""
        ...
