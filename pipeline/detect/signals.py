"""Stores what a rule found in a window, in place of what it had found there before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipeline.detect.tables import WriteTx, touch
from pipeline.rules.model import UNSCORED, Rule, Window

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
    """Make ``matches`` the window's signals; return the accounts of which any is another than before.

    What stands already is left alone: most of what is found each minute was found the minute before, and neither
    needs to be written again nor judged again. Doing it again with the same matches changes nothing.
    """
    where = {"rule": rule.rule_id, "end": window.end}
    utc = pl.Datetime("us", "UTC")
    fresh = matches.with_columns(
        pl.lit(rule.rule_id).alias("rule_id"),
        pl.lit(rule.meta.evidence).alias("evidence"),
        pl.lit(window.since, dtype=utc).alias("window_start"),
        pl.lit(window.end, dtype=utc).alias("window_end"),
    ).select(_COLUMNS)
    stood = tx.execute(
        f"select {', '.join(_COLUMNS)} from signal where rule_id = $rule and window_end = $end",  # noqa: S608 - literals
        where,
    ).pl()
    stood = stood.cast(dict(fresh.schema))  # type: ignore[arg-type]
    news = [
        one.join(other, on=_COLUMNS, how="anti", nulls_equal=True)["account_id"]
        for one, other in ((fresh, stood), (stood, fresh))
    ]
    changed = frozenset(pl.concat(news).unique())
    if changed and stood.height:
        touch(tx, changed)
        tx.execute(
            "delete from signal where rule_id = $rule and window_end = $end "
            "and account_id in (select account_id from touched_account)",
            where,
        )
    if changed:
        tx.insert("signal", fresh.filter(pl.col("account_id").is_in(changed)))
    return changed


@dataclass(slots=True)
class Changed:
    """Accounts with other signals than before: all of them, and those of which any counts towards a score."""

    accounts: set[str] = field(default_factory=set)
    scored: set[str] = field(default_factory=set)

    def store(self, tx: WriteTx, rule: Rule, window: Window, matches: pl.DataFrame) -> None:
        """As ``store_signals``; who changed is added."""
        found = store_signals(tx, rule, window, matches)
        self.accounts |= found
        if rule.meta.evidence != UNSCORED:
            self.scored |= found
