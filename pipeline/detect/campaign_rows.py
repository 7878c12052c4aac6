"""How campaigns stand in the store: what a look found, row by row, in place of what it had found there before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from pipeline.detect.identity import Placed
from pipeline.detect.tables import WriteTx
from pipeline.rules.run import Tx

_UTC: Final = pl.Datetime("us", "UTC")
LIKELY: Final = 0.5  # from which probability on an account that is not named is counted to the campaign
COUNTED: Final = pl.col("named") | (pl.col("probability") >= LIKELY)
MEMBER_COLUMNS: Final = ("campaign_id", "account_id", "probability", "first_seen", "last_seen", "shared")
THING_COLUMNS: Final = (
    "campaign_id",
    "thing",
    "kind",
    "joins",
    "named_accounts",
    "unrelated",
    "everyone",
    "weight",
    "weight_missing",
)
ROW_COLUMNS: Final = (
    *("score", "accounts", "named_accounts", "prior_odds"),
    *("first_seen", "last_seen", "last_request", "ended_at"),
)


@dataclass(frozen=True, slots=True)
class Now:
    """All campaigns as they should stand: a row each, its keys, its things, its members."""

    placed: Sequence[Placed]
    campaigns: pl.DataFrame
    keys: pl.DataFrame
    things: pl.DataFrame
    members: pl.DataFrame


def write_campaigns(tx: WriteTx, state: Now, changed: Collection[str], now: datetime) -> None:
    """Write the campaigns of ``changed`` as they stand in ``state``, and what findings say of them."""
    ids = {"ids": sorted(changed)}
    joined = _joined(tx, state.placed)
    created = dict(tx.execute("select campaign_id, created_at from campaign").fetchall())
    tx.execute("delete from campaign_member where campaign_id in (select unnest($ids::varchar[]))", ids)
    tx.execute("delete from campaign_thing where campaign_id in (select unnest($ids::varchar[]))", ids)
    mine = pl.col("campaign_id").is_in(ids["ids"])
    keys = state.keys.filter(mine)
    _write_keys(tx, state.placed, keys, ids)
    tx.insert("campaign_thing", state.things.filter(mine))
    members = state.members.filter(mine)
    tx.insert(
        "campaign_member",
        members.join(joined, on=["campaign_id", "account_id"], how="left").select(
            *MEMBER_COLUMNS, pl.coalesce(pl.col("joined_at").cast(_UTC), pl.lit(now, dtype=_UTC)).alias("joined_at")
        ),
    )
    _write_rows(tx, state, ids, created, now)
    _write_findings(tx)


def _joined(tx: Tx, placed: Sequence[Placed]) -> pl.DataFrame:
    """Since when each account is a member, of the campaign or of one that was merged into it."""
    heirs = {other: one.campaign_id for one in placed for other in one.merged}
    rows = tx.execute("select campaign_id, account_id, joined_at from campaign_member").pl()
    return (
        rows.with_columns(pl.col("campaign_id").replace(heirs))
        .group_by("campaign_id", "account_id")
        .agg(pl.col("joined_at").min())
    )


def _write_keys(tx: WriteTx, placed: Sequence[Placed], keys: pl.DataFrame, ids: Mapping[str, Any]) -> None:
    """A key leads to the campaign that it joins, else to the one that it joined last."""
    for one in placed:
        if one.merged:
            tx.execute(
                "update campaign_key set campaign_id = $id where campaign_id in (select unnest($merged::varchar[]))",
                {"id": one.campaign_id, "merged": list(one.merged)},
            )
    tx.execute("update campaign_key set current = false where campaign_id in (select unnest($ids::varchar[]))", ids)
    tx.execute(
        "delete from campaign_key where group_key in (select unnest($keys::varchar[]))",
        {"keys": keys["group_key"].to_list()},
    )
    tx.insert("campaign_key", keys.with_columns(pl.lit(value=True).alias("current")))


def _write_rows(
    tx: WriteTx, state: Now, ids: Mapping[str, Any], created: Mapping[str, datetime], now: datetime
) -> None:
    merged = {other: one.campaign_id for one in state.placed for other in one.merged}
    tx.execute("delete from finding where finding_id in (select unnest($ids::varchar[]))", ids)
    # What is no more keeps its row, without members.
    tx.execute(
        "update campaign set accounts = 0, named_accounts = 0, updated_at = $now "
        "where campaign_id in (select unnest($ids::varchar[]))",
        {**ids, "now": now},
    )
    for campaign, heir in merged.items():
        tx.execute("update campaign set merged_into = $heir where campaign_id = $id", {"heir": heir, "id": campaign})
    reasons = _reasons(tx, ids)
    rows = state.campaigns.filter(pl.col("campaign_id").is_in(ids["ids"]))
    tx.execute(
        "delete from campaign where campaign_id in (select unnest($ids::varchar[]))",
        {"ids": rows["campaign_id"].to_list()},
    )
    first_keys = {one.campaign_id: one.first_key for one in state.placed}
    utc = pl.lit(now, dtype=_UTC)
    complete = rows.with_columns(
        pl.col("campaign_id").replace_strict(first_keys, return_dtype=pl.String()).alias("first_key"),
        pl.Series("created_at", [created.get(one, now) for one in rows["campaign_id"]], dtype=_UTC),
        pl.Series("reasons", [reasons.get(one, []) for one in rows["campaign_id"]], dtype=pl.List(pl.String())),
        utc.alias("updated_at"),
    )
    tx.insert(
        "campaign",
        complete.select(
            *("campaign_id", "first_key", "score", "accounts", "named_accounts", "reasons"),
            *("first_seen", "last_seen", "created_at", "updated_at", "prior_odds", "last_request", "ended_at"),
        ),
    )
    tx.insert(
        "finding",
        complete.select(
            pl.col("campaign_id").alias("finding_id"),
            pl.lit("campaign").alias("dimension"),
            pl.col("campaign_id").alias("entity_id"),
            "campaign_id",
            "score",
            (pl.col("named_accounts") > 0).alias("named"),
            *("reasons", "first_seen", "last_seen", "created_at", "updated_at"),
        ),
    )


def _reasons(tx: Tx, ids: Mapping[str, Any]) -> dict[str, list[str]]:
    """What named accounts share: of each kind of evidence the strongest sentence, the strongest first."""
    rows = tx.execute(
        """
        with told as (
            select
                campaign_key.campaign_id,
                signal.evidence,
                arg_max(
                    coalesce(signal.group_reason, signal.reason),
                    (signal.strength, signal.account_id, signal.rule_id, signal.group_key, signal.window_end)
                ) as reason,
                max(signal.strength) as strength
            from signal
            inner join campaign_key on signal.group_key = campaign_key.group_key and campaign_key.current
            inner join campaign_member
                on
                    signal.account_id = campaign_member.account_id
                    and campaign_key.campaign_id = campaign_member.campaign_id
            inner join graded on signal.account_id = graded.account_id and graded.named
            where
                campaign_key.campaign_id in (select unnest($ids::varchar[]))
                and signal.evidence <> 'unscored'
            group by campaign_key.campaign_id, signal.evidence
        )

        select
            campaign_id,
            list(reason order by strength desc, evidence asc)
        from told
        group by campaign_id
        """,
        ids,
    ).fetchall()
    return dict(rows)


def _write_findings(tx: WriteTx) -> None:
    """An account may be in several campaigns; its finding shows the one that it most probably belongs to."""
    tx.execute(
        """
        with wanted as (
            select
                campaign_member.account_id,
                campaign_member.campaign_id
            from campaign_member
            inner join finding on campaign_member.account_id = finding.entity_id and finding.dimension = 'account'
            inner join campaign on campaign_member.campaign_id = campaign.campaign_id
            where finding.named or campaign_member.probability >= $likely
            qualify
                row_number() over (
                    partition by campaign_member.account_id
                    order by
                        campaign_member.probability desc, campaign.named_accounts desc, campaign_member.campaign_id asc
                ) = 1
        )

        update finding
        set campaign_id = changed.campaign_id
        from (
            select
                finding.finding_id,
                wanted.campaign_id
            from finding
            left join wanted on finding.entity_id = wanted.account_id
            where finding.dimension = 'account' and finding.campaign_id is distinct from wanted.campaign_id
        ) as changed
        where finding.finding_id = changed.finding_id
        """,
        {"likely": LIKELY},
    )
