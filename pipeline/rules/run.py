"""Runs one rule over one window in a transaction and checks what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

import duckdb
import polars as pl

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


def evaluate(tx: Tx, rule: Rule, since: datetime, until: datetime) -> pl.DataFrame:
    """Matches of a rule in ``[since, until)``, with the columns of RESULT, in the order of entity and account.

    Blocks for as long as the query takes. Reads only.

    Raises:
        RuleAbortedError: the SQL failed; the transaction cannot go on.
        RuleResultError: wrong columns, types, nulls, strengths outside (0, 1), an entity twice, or too many rows.
    """
    bound: Mapping[str, object] = {**rule.parameters, "since": since, "until": until}
    try:
        frame = tx.execute(rule.sql, dict(bound)).pl()
    except duckdb.Error as error:
        raise RuleAbortedError(rule.rule_id, str(error).splitlines()[0]) from error
    return checked(rule.rule_id, frame)


def checked(rule_id: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in the types and order of RESULT.

    Raises:
        RuleResultError: see ``evaluate``.
    """
    left_out = OPTIONAL - set(frame.columns)
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in sorted(left_out))
    if sorted(frame.columns) != sorted(RESULT):
        missing, extra = sorted(set(RESULT) - set(frame.columns)), sorted(set(frame.columns) - set(RESULT))
        raise RuleResultError(rule_id, f"other columns: missing {missing}, unknown {extra}")
    if frame.height > MAX_ROWS:
        raise RuleResultError(rule_id, f"{frame.height} rows; at most {MAX_ROWS}")
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
