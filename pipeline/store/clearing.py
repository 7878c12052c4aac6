"""What a person knows about an account that speaks for it: kept word by word, the last word counts.

A clearance that runs out does so in **event time**: it covers what was seen of the account before ``until``, whenever
that was read, and what is seen from then on counts again, with everything else of the last seven days. By the wall
clock the same events would give one finding when they are read today and another when they are read again tomorrow;
findings would then hang on batching and delay. So an account of which nothing was seen after ``until`` stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal

import polars as pl

from pipeline.errors import UsageError
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.store.transaction import Transaction

BY_IMPORT: Final = "accounts import"
Action = Literal["clear", "unclear"]

_WORDS: Final = ["account_id", "action", "reason", "until"]
_NEAREST: Final = """
select account_id
from accounts
where jaro_winkler_similarity(account_id, $id) > 0.7
order by jaro_winkler_similarity(account_id, $id) desc, account_id asc
limit 3
"""


class UnknownAccountsError(UsageError):
    """Accounts that sent nothing and of which no facts are known: most likely misspelt."""

    def __init__(self, accounts: Sequence[str], nearest: Sequence[str]) -> None:
        more = f" and {len(accounts) - 3} more" if len(accounts) > 3 else ""
        like = f"; known and alike: {', '.join(nearest)}" if nearest else ""
        super().__init__(
            f"nothing is known of {', '.join(accounts[:3])}{more}{like}",
            next_step="check the spelling, or import facts about them first: stillwatch accounts import FILE",
        )


def apply_clearing(
    tx: Transaction,
    accounts: Collection[str],
    *,
    action: Action,
    reason: str | None,
    until: datetime | None,
    said_by: str,
) -> frozenset[str]:
    """Store what was said about ``accounts`` (the ids that their events have); return all that it concerns.

    Saying the last word again changes nothing, so a command may be repeated when its answer was lost.

    Raises:
        UnknownAccountsError: nothing is known of one of them; nothing was stored.
    """
    ids = sorted(set(accounts))
    known = tx.frame(
        "select account_id from accounts where account_id in (select unnest($ids::varchar[]))", {"ids": ids}
    )
    missing = sorted(set(ids) - set(known["account_id"]))
    if missing:
        raise UnknownAccountsError(missing, [row[0] for row in tx.execute(_NEAREST, {"id": missing[0]}).fetchall()])
    words = pl.DataFrame({"account_id": ids}).with_columns(
        pl.lit(action).alias("action"),
        pl.lit(reason, dtype=pl.String).alias("reason"),
        pl.lit(until, dtype=UTC_MICROSECONDS).alias("until"),
    )
    apply_words(tx, words, said_by=said_by)
    return frozenset(ids)


def apply_words(tx: Transaction, words: pl.DataFrame, *, said_by: str) -> frozenset[str]:
    """Store a word about each account, unless it is the last one already; return of whom something new is said.

    Args:
        tx: the transaction; its ``now`` is when it was said.
        words: account_id (each once), action, reason, until.
        said_by: who says so.
    """
    if words.height == 0:
        return frozenset()
    last = tx.frame(
        "select account_id, action, reason, until from clearances "
        "where last_word and account_id in (select unnest($ids::varchar[]))",
        {"ids": words["account_id"].to_list()},
    ).cast({"until": UTC_MICROSECONDS})
    # Who was never cleared has nothing to take back.
    silent = words.filter(pl.col("action") == "unclear").join(last, on="account_id", how="anti")
    fresh = words.join(last, on=_WORDS, how="anti", nulls_equal=True).join(silent, on="account_id", how="anti")
    row = tx.execute("select coalesce(max(seq), 0) from clearance").fetchone()
    tx.insert(
        "clearance",
        fresh.sort("account_id").with_columns(
            (pl.int_range(pl.len(), dtype=pl.Int64) + 1 + (row[0] if row else 0)).alias("seq"),
            pl.lit(said_by).alias("said_by"),
            pl.lit(tx.now).dt.cast_time_unit("us").alias("said_at"),
        ),
    )
    return frozenset(fresh["account_id"])
