"""Stores what a rule found in a window, in place of what it had found there before."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.detect.tables import WriteTx
from pipeline.rules.model import Rule, Window

_COLUMNS: Final = (
    "rule_id",
    "evidence",
    "dimension",
    "entity_id",
    "account_id",
    "group_key",
    "strength",
    "reason",
    "group_reason",
    "window_start",
    "window_end",
    "first_seen",
    "last_seen",
)


def differ(tx: WriteTx, rule: Rule, window: Window, matches: pl.DataFrame) -> bool:
    """What a look found is not what stands there; told by who, with whom and how strongly."""
    who = ("account_id", "entity_id", "group_key", "strength")
    rows = tx.execute(
        f"select {', '.join(who)} from signal where rule_id = $rule and window_end = $end",  # noqa: S608 - literals
        {"rule": rule.rule_id, "end": window.end},
    ).fetchall()
    return sorted(rows) != sorted(matches.select(who).rows())


def store_signals(tx: WriteTx, rule: Rule, window: Window, matches: pl.DataFrame) -> frozenset[str]:
    """Replace the window's signals by ``matches``; return the accounts that had or have one.

    Doing it again with the same matches changes nothing.
    """
    where = {"rule": rule.rule_id, "end": window.end}
    before = tx.execute(
        "select distinct account_id from signal where rule_id = $rule and window_end = $end", where
    ).fetchall()
    if before:
        tx.execute("delete from signal where rule_id = $rule and window_end = $end", where)
    if matches.height:
        utc = pl.Datetime("us", "UTC")
        tx.insert(
            "signal",
            matches.with_columns(
                pl.lit(rule.rule_id).alias("rule_id"),
                pl.lit(rule.meta.evidence).alias("evidence"),
                pl.lit(window.since, dtype=utc).alias("window_start"),
                pl.lit(window.end, dtype=utc).alias("window_end"),
            ).select(_COLUMNS),
        )
    return frozenset(row[0] for row in before) | frozenset(matches["account_id"].unique())
