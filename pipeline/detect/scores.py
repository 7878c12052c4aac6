"""From stored signals to a score for each account, recomputable by hand.

Of each kind of evidence the strongest signal of the account's last seven days with signals counts, since two signals
of one kind look at the same facts; kinds combine by noisy-or: ``score = 1 - (1 - s1)(1 - s2)…``. Unscored signals are
left out, as if they were not there: they neither raise a score nor move its seven days. Both are functions of
what is stored, not of when it was stored. What a score is worth follows from how high benign accounts of the same
population score (``reference``): its e-value, from which ``discoveries`` chooses who is named.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.detect.reference import YOUNG_DAYS, Knowledge, Reference, compared_with, e_values
from pipeline.detect.tables import ACCOUNTS_SEEN, WriteTx, touch
from pipeline.rules.run import Tx

_SCORES: Final = """
with recent as (
    select signal.*
    from signal
    inner join touched_account on signal.account_id = touched_account.account_id
    where signal.evidence <> 'unscored'
    qualify signal.window_end > max(signal.window_end) over (partition by signal.account_id) - interval 7 days
),

best as (
    select *
    from recent
    qualify
        row_number() over (
            partition by account_id, evidence order by strength desc, window_end desc, rule_id, group_key
        ) = 1
),

scored as (
    select
        account_id,
        1 - product(1 - strength) as score,
        list(reason order by strength desc, evidence) as reasons
    from best
    group by account_id
),

span as (
    select
        account_id,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from recent
    group by account_id
)

select
    scored.account_id,
    scored.score,
    scored.reasons,
    span.first_seen,
    span.last_seen,
    $knowledge || '/' || case
        when accounts.created_at is null then 'unknown'
        when accounts.created_at > span.first_seen - to_days($young_days::integer) then 'young'
        else 'any'
    end as population,
    coalesce(sends_much(accounts.events, accounts.first_seen, accounts.last_seen), false) as heavy,
    -- What a person knew explains what ended before it ran out.
    if(
        accounts.cleared_until is null or span.last_seen < accounts.cleared_until, accounts.cleared_reason, null
    ) as cleared_reason
from scored
inner join span on scored.account_id = span.account_id
left join accounts on scored.account_id = accounts.account_id
order by scored.account_id
"""


def scores(tx: WriteTx, accounts: Collection[str], knowledge: Knowledge) -> pl.DataFrame:
    """Score, reasons (strongest first), first and last sight, population, heavy of each account that has signals."""
    touch(tx, accounts)
    return tx.execute(_SCORES, {"knowledge": knowledge, "young_days": YOUNG_DAYS}).pl()


def update_findings(
    tx: WriteTx, accounts: Collection[str], *, knowledge: Knowledge, reference: Reference, now: datetime
) -> None:
    """Write the finding of each account anew, nobody named yet; an account without signals loses its finding.

    An account that a person cleared keeps its finding and will not be named, until it goes on after that ran out: both
    are compared in event time, so that the finding is a function of what is stored (``store.clearing`` says why).
    """
    fresh = scores(tx, accounts, knowledge).with_columns(compared_with(reference))
    kept = tx.execute(
        "select entity_id as account_id, campaign_id, created_at from finding "
        "where dimension = 'account' and entity_id in (select account_id from touched_account)"
    ).pl()
    tx.execute(
        "delete from finding where dimension = 'account' and entity_id in (select account_id from touched_account)"
    )
    if fresh.height == 0:
        return
    utc = pl.Datetime("us", "UTC")
    moment = pl.lit(now, dtype=utc)
    tx.insert(
        "finding",
        fresh.join(kept, on="account_id", how="left").select(
            (pl.lit("account:") + pl.col("account_id")).alias("finding_id"),
            pl.lit("account").alias("dimension"),
            pl.col("account_id").alias("entity_id"),
            "campaign_id",
            "score",
            pl.lit(value=False).alias("named"),
            "cleared_reason",
            "reasons",
            "first_seen",
            "last_seen",
            pl.coalesce(pl.col("created_at").cast(utc), moment).alias("created_at"),
            moment.alias("updated_at"),
            "population",
            e_values(fresh, reference),
            "heavy",
        ),
    )


def with_findings(tx: Tx, among: Collection[str] | None = None) -> set[str]:
    """Accounts that have one; ``among``: of these."""
    rows = tx.execute(
        "select entity_id from finding where dimension = 'account' "
        "and ($among::varchar[] is null or entity_id in (select unnest($among::varchar[])))",
        {"among": None if among is None else sorted(among)},
    ).fetchall()
    return {row[0] for row in rows}


def changed_use(tx: Tx) -> set[str]:
    """Accounts with a finding that have come to send much, or have ceased to, since it was written."""
    rows = tx.execute(
        f"""
        select finding.entity_id
        from finding
        inner join ({ACCOUNTS_SEEN}) as seen on finding.entity_id = seen.account_id
        where
            finding.dimension = 'account'
            and finding.heavy is distinct from coalesce(
                sends_much(seen.events, seen.first_seen, seen.last_seen), false
            )
        """  # noqa: S608 - literals
    ).fetchall()
    return {row[0] for row in rows}
