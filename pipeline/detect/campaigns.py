"""Accounts acting as one: the graph of what is stored, its groups and their members, under identities that last.

Which campaigns there are, what they share and who belongs to them is a function of what is stored: every look computes
all of it anew (``graph``, ``membership``) and writes what changed. Only the identities depend on what was found before
(``identity``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipeline.detect.campaign_rows import (
    COUNTED,
    MEMBER_COLUMNS,
    ROW_COLUMNS,
    THING_COLUMNS,
    Now,
    write_campaigns,
)
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
    counted = state.members.filter(COUNTED).select("campaign_id", "account_id")
    lives = counted.join(read_lives(tx, counted["account_id"].to_list()), on="account_id")
    state = _with_ends(tx, state, lives, quiet)
    then = _then(tx)
    changed = _changed(tx, state, accounts)
    if changed:
        write_campaigns(tx, state, changed, now)
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
    return Now(placed, campaigns, keys, things.select(THING_COLUMNS), members.select(*MEMBER_COLUMNS, "named"))


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
            state.campaigns.select("campaign_id", *ROW_COLUMNS),
            "select * from campaign where accounts > 0 and merged_into is null",
        ),
        (state.keys, "select campaign_id, group_key from campaign_key where current"),
        (state.things, "select * from campaign_thing"),
        (state.members.select(MEMBER_COLUMNS), "select * from campaign_member"),
    ):
        old = tx.execute(sql).pl().select(new.columns).cast(dict(new.schema))  # type: ignore[arg-type]
        for one, other in ((new, old), (old, new)):
            names = one.columns
            changed |= set(one.join(other, on=names, how="anti", nulls_equal=True)["campaign_id"])
    news = state.members.filter(pl.col("account_id").is_in(sorted(accounts)))
    return changed | set(news["campaign_id"])
