"""Runs one rule over one window in a transaction and checks what it returns."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Protocol

import duckdb
import polars as pl
import pyarrow as pa

from pipeline.errors import StillwatchError
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.rules.model import Rule

RESULT: Final = pl.Schema(
    {
        "dimension": pl.String(),  # what kind of thing entity_id is
        "entity_id": pl.String(),
        "account_id": pl.String(),  # whom the match speaks about
        "group_key": pl.String(),  # kind:id of what these accounts have in common
        "strength": pl.Float64(),  # in (0, 1), like a probability
        "reason": pl.String(),  # a sentence about the account, with the numbers
        "group_reason": pl.String(),  # a sentence about all that share the group_key; may be null or left out
        "first_seen": UTC_MICROSECONDS,
        "last_seen": UTC_MICROSECONDS,
    }
)
OPTIONAL: Final = frozenset({"group_reason"})
MAX_ROWS: Final = 500_000
_BATCH_ROWS: Final = 65_536


class Tx(Protocol):
    """What is needed of a transaction of the store, or of a bare connection."""

    def execute(self, sql: str, parameters: Any = ...) -> duckdb.DuckDBPyConnection:
        """Run one statement."""
        ...


class RuleAbortedError(StillwatchError):
    """A rule failed, and DuckDB has aborted the transaction it ran in.

    Whoever owns the transaction rolls it back and runs it again: the detector has suspended the rule by then.
    """

    exit_code = 65

    def __init__(self, rule_id: str, reason: str) -> None:
        super().__init__(f"rule {rule_id} failed: {reason}", next_step=f"`stillwatch sql` on sql/rules/{rule_id}.sql")
        self.rule_id = rule_id
        self.reason = reason


class RuleResultError(StillwatchError):
    """A rule ran, and what it returned is not what rules return; the transaction is as it was."""

    exit_code = 65

    def __init__(self, rule_id: str, reason: str) -> None:
        super().__init__(f"rule {rule_id} returned {reason}", next_step="docs/rules.md has the columns of a result")
        self.rule_id = rule_id
        self.reason = reason


def evaluate(tx: Tx, rule: Rule, since: datetime, until: datetime, *, within_s: float | None = None) -> pl.DataFrame:
    """Matches of a rule in ``[since, until)``, with the columns of RESULT, in the order of entity and account.

    Blocks for as long as the query takes, or for ``within_s`` and a moment. Reads only.

    Raises:
        RuleAbortedError: the SQL failed; the transaction cannot go on.
        RuleResultError: wrong columns, types, nulls, strengths outside (0, 1), an entity twice, or too many rows.
    """
    bound: Mapping[str, object] = {**rule.parameters, "since": since, "until": until}
    with _deadline(tx, within_s) as expired:
        try:
            table = _taken(rule.rule_id, tx.execute(rule.sql, dict(bound)))
        except (duckdb.Error, RuntimeError) as error:  # RuntimeError: Arrow's, of a stream that failed half-way
            late = f"it took longer than {within_s:g} s and was stopped" if expired.is_set() else None
            raise RuleAbortedError(rule.rule_id, late or _why(error)) from error
    return checked(rule.rule_id, table)


def _why(error: Exception) -> str:
    said = str(error).splitlines()[0]
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in said:
        return f"it needs more memory than store.memory_limit_mb; docs/operations.md says how much ({said})"
    return said


@contextmanager
def _deadline(tx: Tx, within_s: float | None) -> Iterator[threading.Event]:
    """Interrupt what the transaction runs once the time is up, again and again: one between two steps is lost."""
    expired, ended = threading.Event(), threading.Event()
    if within_s is None:
        yield expired
        return
    connection = tx.execute("select 1")  # itself

    def watch() -> None:
        if ended.wait(within_s):
            return
        expired.set()
        while not ended.is_set():
            connection.interrupt()
            ended.wait(0.05)

    watcher = threading.Thread(target=watch, name="rule-deadline", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        ended.set()
        watcher.join()


def _taken(rule_id: str, result: duckdb.DuckDBPyConnection) -> pa.Table:
    """All rows, as long as they are not too many: what goes beyond is never in memory."""
    reader = result.to_arrow_reader(_BATCH_ROWS)
    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > MAX_ROWS:
            raise RuleResultError(rule_id, f"more than {MAX_ROWS} rows")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def checked(rule_id: str, table: pa.Table) -> pl.DataFrame:
    """The rows of a rule in the types and order of RESULT.

    Raises:
        RuleResultError: see ``evaluate``.
    """
    twice = sorted(name for name, times in Counter(table.column_names).items() if times > 1)
    if twice:
        raise RuleResultError(rule_id, f"two columns of one name: {', '.join(twice)}")
    if table.num_rows > MAX_ROWS:
        raise RuleResultError(rule_id, f"{table.num_rows} rows; at most {MAX_ROWS}")
    try:
        frame = pl.DataFrame(pl.from_arrow(table))
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise RuleResultError(rule_id, f"other types: {str(error).splitlines()[0]}") from None
    left_out = OPTIONAL - set(frame.columns)
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in sorted(left_out))
    if sorted(frame.columns) != sorted(RESULT):
        missing, extra = sorted(set(RESULT) - set(frame.columns)), sorted(set(frame.columns) - set(RESULT))
        raise RuleResultError(rule_id, f"other columns: missing {missing}, unknown {extra}")
    nested = [name for name in RESULT if frame.schema[name].is_nested()]
    if nested:
        raise RuleResultError(rule_id, f"other types: {', '.join(nested)} has values inside")
    try:
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in RESULT.items())
    except pl.exceptions.PolarsError as error:
        raise RuleResultError(rule_id, f"other types: {str(error).splitlines()[0]}") from None
    empty = [name for name in RESULT if name not in OPTIONAL and frame[name].null_count()]
    if empty:
        raise RuleResultError(rule_id, f"nulls in {', '.join(empty)}")
    outside = frame.filter(~pl.col("strength").is_between(0, 1, closed="none") | pl.col("strength").is_nan())
    if outside.height:
        raise RuleResultError(rule_id, f"a strength of {outside['strength'][0]}; it must be in (0, 1)")
    key = ["dimension", "entity_id", "account_id", "group_key"]
    if frame.select(key).is_duplicated().any():
        raise RuleResultError(rule_id, "the same entity, account and group twice")
    return frame.sort(key)
