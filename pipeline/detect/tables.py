"""What detection needs of the store's transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

import polars as pl

from pipeline.rules.run import Tx


class WriteTx(Tx, Protocol):
    """An open transaction that takes frames."""

    def insert(self, table: str, frame: pl.DataFrame) -> object:
        """Append a frame to a table, columns by name."""
        ...


# Who sent how much, from when until when: the view `accounts` without what is told about them, at half the cost.
ACCOUNTS_SEEN: Final = """
select
    account_id,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen,
    sum(events)::bigint as events
from (
    select account_id, first_seen, last_seen, events
    from account_seen
    union all
    select entity_id as account_id, first_seen, last_seen, events
    from pane_delta
    where kind = 'account'
) as rows_of_both
group by account_id
"""

_SCRATCH: Final = ("touched_account", "graded", "shared_key", "shared_fact", "wanted_thing")


def touch(tx: WriteTx, accounts: Collection[str]) -> None:
    """Make ``touched_account`` the table of these accounts, each once, until it is called again.

    As a bound list 100,000 of them cost 8 CPU-seconds a statement, as a frame a hundredth of one.
    """
    tx.execute("create temp table if not exists touched_account (account_id varchar)")
    tx.execute("delete from touched_account")
    tx.insert(
        "touched_account", pl.DataFrame({"account_id": sorted(set(accounts))}, schema={"account_id": pl.String()})
    )


def forget(tx: Tx) -> None:
    """Drop the temporary tables of a look: what is in them takes of the store's memory until then."""
    for name in _SCRATCH:
        tx.execute(f"drop table if exists temp.main.{name}")
