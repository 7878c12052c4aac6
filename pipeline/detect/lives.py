"""From when until when each account was served, and what is told about it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

from pipeline.detect.tables import WriteTx, touch
from pipeline.events.schema import UTC_MICROSECONDS

# began: the first request; stopped: the last that was served; refused_after: it went on, and nothing was served.
LIVES: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "began": UTC_MICROSECONDS,
        "stopped": UTC_MICROSECONDS,
        "last_request": UTC_MICROSECONDS,
        "refused_after": pl.Boolean(),
        "created_at": UTC_MICROSECONDS,
        "status": pl.String(),
    }
)
# Of an account with failed requests, the end of the last hour in which one was served: minutes are not kept for long.
_LIVES: Final = """
with failing as (
    select accounts.account_id
    from accounts
    inner join touched_account on accounts.account_id = touched_account.account_id
    where accounts.errors > 0
),

served as (
    select
        served_rows.account_id,
        max(served_rows.hour_end) as hour_end
    from (
        select
            entity_id as account_id,
            window_start + interval 1 hour as hour_end
        from hour
        where kind = 'account' and events > errors and entity_id in (select account_id from failing)
        union all
        select
            entity_id as account_id,
            date_trunc('hour', pane) + interval 1 hour as hour_end
        from pane_delta
        where kind = 'account' and events > errors and entity_id in (select account_id from failing)
    ) as served_rows
    group by served_rows.account_id
)

select
    accounts.account_id,
    accounts.first_seen as began,
    least(accounts.last_seen, coalesce(served.hour_end, accounts.last_seen)) as stopped,
    accounts.last_seen as last_request,
    coalesce(served.hour_end < accounts.last_seen, false) as refused_after,
    accounts.created_at,
    accounts.status
from accounts
inner join touched_account on accounts.account_id = touched_account.account_id
left join served on accounts.account_id = served.account_id
where accounts.first_seen is not null
order by accounts.account_id
"""


def read_lives(tx: WriteTx, accounts: Collection[str]) -> pl.DataFrame:
    """LIVES of these accounts, those that sent anything."""
    touch(tx, accounts)
    return tx.execute(_LIVES).pl().cast(dict(LIVES))  # type: ignore[arg-type]
