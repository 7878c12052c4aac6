"""Accounts acting as one: named accounts joined by what they share, under an identity that lasts.

A campaign is a set of group keys (a template, a client, a network …). Two keys belong together when at least half of
the named accounts of the smaller one have the other too; one account in common joins nothing. The identity comes from
the first of the keys that it is found by, what it says before what it comes through, and is kept with all keys that
join later; when two campaigns turn out to be one, the older identity stays and the younger says into what it was
merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.detect.tables import WriteTx
from pipeline.rules.run import Tx

MIN_NAMED: Final = 3
MEMBER_AT: Final = 0.5
_OVERLAP: Final = 0.5
_SAID: Final = ("system_prompt", "template", "fragment", "reasoning_blob")

_EDGES: Final = """
select
    signal.account_id,
    signal.group_key,
    min(signal.first_seen) as first_seen,
    max(signal.last_seen) as last_seen,
    any_value(finding.score) as score,
    any_value(finding.named) as named
from signal
inner join finding on signal.account_id = finding.entity_id and finding.dimension = 'account'
where
    signal.group_key in (select unnest($keys::varchar[]))
    and finding.score >= $member_at
    and finding.cleared_reason is null
group by signal.account_id, signal.group_key
order by signal.account_id, signal.group_key
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that belong together and the campaign they stand for."""

    campaign_id: str
    keys: tuple[str, ...]
    merged: tuple[str, ...] = ()


def new_campaign_id(key: str) -> str:
    """The identity that a campaign gets from its first key."""
    return "cmp_" + hashlib.sha256(key.encode()).hexdigest()[:12]


def group_keys(edges: pl.DataFrame, known: Mapping[str, str], ages: Mapping[str, datetime]) -> list[Group]:
    """Which keys belong together.

    Args:
        edges: account_id, group_key, named, first_seen; a row an account and key.
        known: campaign of each key that already has one.
        ages: when each known campaign was created.
    """
    named = edges.filter("named")
    sizes: dict[str, int] = dict(named.group_by("group_key").len().filter(pl.col("len") >= MIN_NAMED).iter_rows())
    keys = sorted(sizes.keys() | known.keys())
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for first, second in _joined(named, sizes, known):
        parent[max(root(first), root(second))] = min(root(first), root(second))
    components: dict[str, list[str]] = {}
    for key in keys:
        components.setdefault(root(key), []).append(key)
    groups = []
    for members in components.values():
        ids = sorted({known[key] for key in members if key in known}, key=lambda item: (ages[item], item))
        first = min(members, key=_rank)
        groups.append(Group(ids[0] if ids else new_campaign_id(first), tuple(members), tuple(ids[1:])))
    return groups


def _rank(key: str) -> tuple[int, str]:
    """What a campaign says comes before what it comes through: it is there from its first request on."""
    kind = key.partition(":")[0]
    return (_SAID.index(kind) if kind in _SAID else len(_SAID), key)


def _joined(named: pl.DataFrame, sizes: Mapping[str, int], known: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    by_campaign: dict[str, str] = {}
    for key, campaign in sorted(known.items()):
        yield by_campaign.setdefault(campaign, key), key
    qualified = named.filter(pl.col("group_key").is_in(list(sizes))).select("account_id", "group_key")
    pairs = (
        qualified.join(qualified, on="account_id", suffix="_other")
        .filter(pl.col("group_key") < pl.col("group_key_other"))
        .group_by("group_key", "group_key_other")
        .len()
    )
    for first, second, both in pairs.iter_rows():
        if both >= _OVERLAP * min(sizes[first], sizes[second]):
            yield first, second


def update_campaigns(tx: WriteTx, accounts: Collection[str], *, now: datetime) -> tuple[str, ...]:
    """Write the campaigns that ``accounts`` have to do with anew; return their ids."""
    keys = _affected_keys(tx, accounts)
    if not keys:
        return ()
    edges = tx.execute(_EDGES, {"keys": keys, "member_at": MEMBER_AT}).pl()
    known: dict[str, str] = dict(
        tx.execute(
            "select group_key, campaign_id from campaign_key where group_key in (select unnest($keys::varchar[]))",
            {"keys": keys},
        ).fetchall()
    )
    ages: dict[str, datetime] = dict(
        tx.execute(
            "select campaign_id, created_at from campaign where campaign_id in (select unnest($ids::varchar[]))",
            {"ids": sorted(set(known.values()))},
        ).fetchall()
    )
    groups = group_keys(edges, known, ages)
    for group in groups:
        _write(tx, group, edges, now)
    return tuple(sorted(group.campaign_id for group in groups))


def _affected_keys(tx: Tx, accounts: Collection[str]) -> list[str]:
    rows = tx.execute(
        """
        with touched as (
            select distinct unnest($accounts::varchar[]) as account_id
        ),

        shared as (
            select distinct signal.group_key
            from signal
            inner join touched on signal.account_id = touched.account_id
            where signal.group_key not like 'account:%'
        ),

        concerned as (
            select campaign_key.campaign_id
            from campaign_key
            inner join shared on campaign_key.group_key = shared.group_key
            union
            select campaign_member.campaign_id
            from campaign_member
            inner join touched on campaign_member.account_id = touched.account_id
        )

        select group_key from shared
        union
        select campaign_key.group_key
        from campaign_key
        inner join concerned on campaign_key.campaign_id = concerned.campaign_id
        order by group_key
        """,
        {"accounts": sorted(accounts)},
    ).fetchall()
    return [row[0] for row in rows]


def _write(tx: WriteTx, group: Group, edges: pl.DataFrame, now: datetime) -> None:
    ids = [group.campaign_id, *group.merged]
    members = (
        edges.filter(pl.col("group_key").is_in(group.keys))
        .group_by("account_id")
        .agg(
            pl.col("score").first().alias("probability"),
            pl.col("named").first(),
            pl.col("first_seen").min(),
            pl.col("last_seen").max(),
        )
        .sort("account_id")
    )
    old = tx.execute(
        "select account_id, min(joined_at) as joined_at from campaign_member "
        "where campaign_id in (select unnest($ids::varchar[])) group by account_id",
        {"ids": ids},
    ).pl()
    tx.execute("delete from campaign_member where campaign_id in (select unnest($ids::varchar[]))", {"ids": ids})
    tx.execute(
        "update finding set campaign_id = null where campaign_id in (select unnest($ids::varchar[]))", {"ids": ids}
    )
    tx.execute("delete from campaign_key where group_key in (select unnest($keys::varchar[]))", {"keys": [*group.keys]})
    utc = pl.Datetime("us", "UTC")
    tx.insert("campaign_key", pl.DataFrame({"group_key": group.keys, "campaign_id": group.campaign_id}))
    if members.height:
        tx.insert(
            "campaign_member",
            members.join(old, on="account_id", how="left").select(
                pl.lit(group.campaign_id).alias("campaign_id"),
                "account_id",
                "probability",
                "first_seen",
                "last_seen",
                pl.coalesce(pl.col("joined_at").cast(utc), pl.lit(now, dtype=utc)).alias("joined_at"),
            ),
        )
        # An account may be in two campaigns; its finding shows the first by id, the same whatever came first.
        tx.execute(
            "update finding set campaign_id = least(coalesce(campaign_id, $id), $id) where dimension = 'account' "
            "and entity_id in (select account_id from campaign_member where campaign_id = $id)",
            {"id": group.campaign_id},
        )
    _write_campaign(tx, group, members, now)


def _write_campaign(tx: WriteTx, group: Group, members: pl.DataFrame, now: datetime) -> None:
    where = {"id": group.campaign_id}
    old = tx.execute(
        "select first_key, created_at, first_seen, last_seen from campaign where campaign_id = $id", where
    ).fetchone()
    first_key, created_at, first_seen, last_seen = old or (group.keys[0], now, None, None)
    if members.height:
        first_seen, last_seen = members["first_seen"].min(), members["last_seen"].max()
    reasons = [
        row[0]
        for row in tx.execute(
            "select arg_max(coalesce(group_reason, reason), (strength, account_id)) from signal "
            "where group_key in (select unnest($keys::varchar[])) "
            "and account_id in (select account_id from campaign_member where campaign_id = $id) "
            "group by evidence order by max(strength) desc, evidence",
            {"keys": [*group.keys], **where},
        ).fetchall()
    ]
    score = float(members["probability"].mean() or 0.0) if members.height else 0.0  # type: ignore[arg-type]
    named = int(members["named"].sum())
    tx.execute("delete from campaign where campaign_id = $id", where)
    tx.execute("delete from finding where finding_id = $id", where)
    values = {
        **where,
        "first_key": first_key,
        "score": score,
        "accounts": members.height,
        "named": named,
        "reasons": reasons,
        "first_seen": first_seen,
        "last_seen": last_seen,
        "created_at": created_at,
        "now": now,
    }
    if first_seen is None:
        return
    tx.execute(
        "insert into campaign (campaign_id, first_key, score, accounts, named_accounts, reasons, merged_into, "
        "first_seen, last_seen, created_at, updated_at) values ($id, $first_key, $score, $accounts, $named, "
        "$reasons::varchar[], null, $first_seen, $last_seen, $created_at, $now)",
        values,
    )
    tx.execute(
        "insert into finding (finding_id, dimension, entity_id, campaign_id, score, named, cleared_reason, reasons, "
        "first_seen, last_seen, created_at, updated_at) values ($id, 'campaign', $id, $id, $score, $named > 0, null, "
        "$reasons::varchar[], $first_seen, $last_seen, $created_at, $now)",
        {name: value for name, value in values.items() if name not in {"first_key", "accounts"}},
    )
    tx.execute(
        "update campaign set merged_into = $id, accounts = 0, named_accounts = 0, updated_at = $now "
        "where campaign_id in (select unnest($merged::varchar[]))",
        {**where, "now": now, "merged": [*group.merged]},
    )
    tx.execute(
        "delete from finding where finding_id in (select unnest($merged::varchar[]))", {"merged": [*group.merged]}
    )
