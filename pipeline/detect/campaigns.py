"""Accounts acting as one: the graph of what is stored, its groups and their members, under identities that last.

Which campaigns there are, what they share and who belongs to them is a function of what is stored: every look computes
all of it anew (``graph``, ``membership``) and writes what changed. Only the identities depend on what was found before
(``identity``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipeline.detect.graph import Group, find_groups, rare_things
from pipeline.detect.holders import Holders, keep_holders, read_candidates, read_shared
from pipeline.detect.identity import Placed, Stored, place
from pipeline.detect.life import Stand, Then, changes
from pipeline.detect.lives import read_lives
from pipeline.detect.membership import Membership, find_members
from pipeline.detect.population import keep_populations
from pipeline.detect.succession import find_successions, table
from pipeline.detect.tables import WriteTx, forget
from pipeline.rules.run import Tx

_UTC: Final = pl.Datetime("us", "UTC")
LIKELY: Final = 0.5  # from which probability on an account that is not named is counted to the campaign
_COUNTED: Final = pl.col("named") | (pl.col("probability") >= LIKELY)
_MEMBER: Final = ("campaign_id", "account_id", "probability", "first_seen", "last_seen", "shared")
_THING: Final = (
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
_ROW: Final = (
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


def update_campaigns(
    tx: WriteTx, accounts: Collection[str], *, tests: int, quiet: timedelta, now: datetime
) -> tuple[str, ...]:
    """Bring campaigns in line with signals and findings; return those that were written anew.

    Args:
        tx: the open transaction.
        accounts: whose signals or findings changed.
        tests: how many accounts could have been named.
        quiet: of event time without a request of its members, after which a campaign has ended.
        now: wall time.
    """
    changed = _update(tx, accounts, tests=tests, quiet=quiet, now=now)
    forget(tx)
    return changed


def _update(tx: WriteTx, accounts: Collection[str], *, tests: int, quiet: timedelta, now: datetime) -> tuple[str, ...]:
    keep_holders(tx, accounts)
    stored = _stored(tx)
    keep_populations(tx)
    things, named = read_shared(tx, tests)
    if not stored and things.is_empty():
        return ()
    groups = find_groups(named.held, things)
    holders = read_candidates(tx, groups, things)
    found = find_members(groups, holders.held, things, holders.facts, tests)
    state = _state(groups, place(groups, stored), found, holders)
    counted = state.members.filter(_COUNTED).select("campaign_id", "account_id")
    lives = counted.join(read_lives(tx, counted["account_id"].to_list()), on="account_id")
    state = _with_ends(tx, state, lives, quiet)
    then = _then(tx)
    changed = _changed(tx, state, accounts)
    if changed:
        _write(tx, state, changed, now)
        _record(tx, state, then, now)
    _write_successions(
        tx, table(find_successions(lives, holders.held.join(rare_things(named.held, things), on="thing")))
    )
    return tuple(sorted(changed))


def _stored(tx: Tx) -> dict[str, Stored]:
    keys = _lists(tx, "select campaign_id, list(group_key) from campaign_key group by campaign_id")
    accounts = _lists(tx, "select campaign_id, list(account_id) from campaign_member group by campaign_id")
    rows = tx.execute("select campaign_id, created_at, merged_into, first_key from campaign").fetchall()
    return {
        campaign: Stored(created_at, merged_into, first_key, keys.get(campaign, _NONE), accounts.get(campaign, _NONE))
        for campaign, created_at, merged_into, first_key in rows
    }


_NONE: Final = frozenset[str]()


def _lists(tx: Tx, sql: str) -> dict[str, frozenset[str]]:
    return {campaign: frozenset(items) for campaign, items in tx.execute(sql).fetchall()}


def _state(groups: Sequence[Group], placed: Sequence[Placed], found: Membership, holders: Holders) -> Now:
    ids = pl.DataFrame(
        {
            "group": list(range(len(placed))),
            "campaign_id": [one.campaign_id for one in placed],
            "prior_odds": found.prior_odds,
        },
        schema={"group": pl.Int64(), "campaign_id": pl.String(), "prior_odds": pl.Float64()},
    )
    keys = pl.DataFrame(
        {"campaign_id": [one.campaign_id for one in placed], "group_key": [list(group.keys) for group in groups]},
        schema={"campaign_id": pl.String(), "group_key": pl.List(pl.String())},
    ).explode("group_key")
    seen = (
        keys.join(holders.spans, on="group_key")
        .group_by("campaign_id", "account_id")
        .agg(pl.col("first_seen").min(), pl.col("last_seen").max())
    )
    members = (
        found.members.join(ids, on="group")
        .join(seen, on=["campaign_id", "account_id"])
        .join(holders.graded, on="account_id")
        .sort("campaign_id", "account_id")
    )
    campaigns = (
        members.group_by("campaign_id", maintain_order=True)
        .agg(
            ((pl.col("score") * pl.col("probability")).sum() / pl.col("probability").sum()).round(9).alias("score"),
            pl.len().cast(pl.Int64).alias("accounts"),
            pl.col("named").sum().cast(pl.Int64).alias("named_accounts"),
            pl.col("first_seen").min(),
            pl.col("last_seen").max(),
        )
        .join(ids, on="campaign_id")
    )
    things = found.things.join(ids, on="group").with_columns(pl.col("named_accounts").cast(pl.Int64))
    return Now(placed, campaigns, keys, things.select(_THING), members.select(*_MEMBER, "named"))


def _until(tx: Tx) -> datetime | None:
    """How far event time has been looked at."""
    row = tx.execute("select max(evaluated_until) from rule_state").fetchone()
    return row[0] if row else None


def _with_ends(tx: Tx, state: Now, lives: pl.DataFrame, quiet: timedelta) -> Now:
    """Until when the members of each campaign sent anything, and when that made an end of it."""
    last = lives.group_by("campaign_id").agg(pl.col("last_request").max())
    end = pl.col("last_request") + quiet
    until = pl.lit(_until(tx), dtype=_UTC)
    campaigns = state.campaigns.join(last, on="campaign_id", how="left", maintain_order="left")
    return replace(state, campaigns=campaigns.with_columns(pl.when(end <= until).then(end).alias("ended_at")))


def _write_successions(tx: WriteTx, found: pl.DataFrame) -> None:
    old = tx.execute("select * from campaign_succession").pl().cast(dict(found.schema))  # type: ignore[arg-type]
    if not old.sort("campaign_id", "began_at", "succeeds").equals(found):
        tx.execute("delete from campaign_succession")
        tx.insert("campaign_succession", found)


def _then(tx: Tx) -> dict[str, Then]:
    """Campaigns as the last look left them."""
    rows = tx.execute(
        """
        with told as (
            select
                campaign_id,
                max(accounts) as most
            from campaign_event
            group by campaign_id
        )

        select
            campaign.campaign_id,
            campaign.merged_into is null and campaign.accounts > 0 as lives,
            campaign.ended_at is not null as ended,
            coalesce(told.most, 0) as told,
            campaign.accounts,
            campaign.named_accounts
        from campaign
        left join told on campaign.campaign_id = told.campaign_id
        """
    ).fetchall()
    return {row[0]: Then(*row[1:]) for row in rows}


def _record(tx: WriteTx, state: Now, then: Mapping[str, Then], now: datetime) -> None:
    stands = {
        campaign: Stand(ended is not None, accounts, named)
        for campaign, ended, accounts, named in state.campaigns.select(
            "campaign_id", "ended_at", "accounts", "named_accounts"
        ).iter_rows()
    }
    events = changes(state.placed, stands, then)
    if not events:
        return
    row = tx.execute("select coalesce(max(seq), 0) from campaign_event").fetchone()
    first = int(row[0]) + 1 if row else 1
    tx.insert(
        "campaign_event",
        pl.DataFrame(
            {
                "seq": list(range(first, first + len(events))),
                "campaign_id": [event.campaign_id for event in events],
                "change": [event.change for event in events],
                "event_until": pl.Series([_until(tx) or now] * len(events), dtype=_UTC),
                "recorded_at": pl.Series([now] * len(events), dtype=_UTC),
                "accounts": [event.accounts for event in events],
                "named_accounts": [event.named_accounts for event in events],
                "other_campaign": pl.Series([event.other for event in events], dtype=pl.String()),
            }
        ),
    )


def _changed(tx: Tx, state: Now, accounts: Collection[str]) -> set[str]:
    """Campaigns that are not stored as they stand, and those that a member brought news to."""
    changed = {other for one in state.placed for other in one.merged}
    for new, sql in (
        (
            state.campaigns.select("campaign_id", *_ROW),
            "select * from campaign where accounts > 0 and merged_into is null",
        ),
        (state.keys, "select campaign_id, group_key from campaign_key where current"),
        (state.things, "select * from campaign_thing"),
        (state.members.select(_MEMBER), "select * from campaign_member"),
    ):
        old = tx.execute(sql).pl().select(new.columns).cast(dict(new.schema))  # type: ignore[arg-type]
        for one, other in ((new, old), (old, new)):
            names = one.columns
            changed |= set(one.join(other, on=names, how="anti", nulls_equal=True)["campaign_id"])
    news = state.members.filter(pl.col("account_id").is_in(sorted(accounts)))
    return changed | set(news["campaign_id"])


def _write(tx: WriteTx, state: Now, changed: Collection[str], now: datetime) -> None:
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
            *_MEMBER, pl.coalesce(pl.col("joined_at").cast(_UTC), pl.lit(now, dtype=_UTC)).alias("joined_at")
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
            where campaign_key.campaign_id in (select unnest($ids::varchar[]))
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
