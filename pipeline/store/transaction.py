"""One open transaction of the writer: SQL and frames in, all or nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import polars as pl

_INCOMING = "incoming_frame"


class Transaction:
    """Wraps the writer's connection while a transaction is open. Made by ``Store.transaction``; not kept beyond it.

    ``now`` is the wall time at which it began: what its rows are stamped with.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    def execute(self, sql: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Run one statement. Raises duckdb.Error, after which DuckDB refuses all but a rollback."""
        return self.connection.execute(sql, parameters) if parameters else self.connection.execute(sql)

    def insert(self, table: str, frame: pl.DataFrame) -> int:
        """Append a frame to a table, columns by name; return its height. Columns that are missing become null.

        Raises:
            duckdb.Error: a column that the table does not have, or a value that does not fit.
        """
        if frame.height == 0:
            return 0
        assert table.replace("_", "").isalnum(), table
        self.connection.register(_INCOMING, frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
        try:
            self.connection.execute(f"insert into {table} by name select * from {_INCOMING}")  # noqa: S608 - checked
        finally:
            self.connection.unregister(_INCOMING)
        return frame.height

    def frame(self, sql: str, parameters: Any = None) -> pl.DataFrame:
        """The rows of a query as a Polars frame."""
        return self.execute(sql, parameters).pl()
