"""Who has which thing: kept by account from its signals, read with the facts that accounts may share too."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.detect.graph import FACTS, HELD, MIN_NAMED, THINGS
from pipeline.detect.tables import WriteTx, touch
from pipeline.rules.run import Tx

CANDIDATE_AT: Final = 0.5  # the score from which on an account may be a member

# Of each key that enough named accounts share: the candidates that have it, how many others do, and how many of those
# are expected to be unrelated. Others are all that are not named, whether or not a rule has a signal about them. One
# with a signal is unrelated by what its score leaves open, in whole millionths, so that the sum does not depend on the
# order; whom a person cleared is unrelated.
_HOLDING: Final = """
with graded as (
    select
        entity_id as account_id,
        score,
        named,
        score >= $candidate_at and cleared_reason is null as candidate,
        case
            when named then 0
            when cleared_reason is not null then 1000000
            else round(1000000 * (1 - score))::bigint
        end as unrelated
    from finding
    where dimension = 'account'
),

key as (
    select
        thing_holder.group_key,
        count(*) as holders,
        count(*) filter (where graded.named) as named,
        sum(coalesce(graded.unrelated, 1000000)) / 1000000 as unrelated
    from thing_holder
    left join graded on thing_holder.account_id = graded.account_id
    group by thing_holder.group_key
    having count(*) filter (where graded.named) >= $min_named
),

counted as (
    select
        key.group_key,
        greatest(key.holders, coalesce(thing_population.holders, 0)) - key.named as others,
        key.unrelated + greatest(0, coalesce(thing_population.holders, 0) - key.holders) as unrelated,
        coalesce(thing_population.accounts, $tests) as everyone
    from key
    left join thing_population on key.group_key = thing_population.group_key
)

select
    thing_holder.account_id,
    thing_holder.group_key,
    thing_holder.first_seen,
    thing_holder.last_seen,
    graded.score,
    graded.named,
    counted.others,
    counted.unrelated,
    counted.everyone
from thing_holder
inner join counted on thing_holder.group_key = counted.group_key
inner join graded on thing_holder.account_id = graded.account_id
where graded.candidate
order by thing_holder.group_key, thing_holder.account_id
"""
# The facts of all candidates; `unrelated` is null where fewer named accounts than that share one.
_FACTS: Final = """
with graded as (
    select
        entity_id as account_id,
        named,
        score >= $candidate_at and cleared_reason is null as candidate,
        case
            when named then 0
            when cleared_reason is not null then 1000000
            else round(1000000 * (1 - score))::bigint
        end as unrelated
    from finding
    where dimension = 'account'
),

fact as (
    select
        account_id,
        'payment' as kind,
        'payment:' || payment_hash as thing
    from account_fact
    where payment_hash is not null
    union all
    select
        account_id,
        'email_domain' as kind,
        'email_domain:' || email_domain as thing
    from account_fact
    where email_domain is not null
),

told as (
    select fact.thing
    from fact
    inner join graded on fact.account_id = graded.account_id
    where graded.named
    group by fact.thing
    having count(*) >= $min_named
),

counted as (
    select
        fact.thing,
        count(*) filter (where not coalesce(graded.named, false)) as others,
        sum(coalesce(graded.unrelated, 1000000)) / 1000000 as unrelated
    from fact
    inner join told on fact.thing = told.thing
    left join graded on fact.account_id = graded.account_id
    group by fact.thing
)

select
    fact.account_id,
    fact.kind,
    fact.thing,
    counted.others,
    counted.unrelated,
    $tests as everyone
from fact
inner join graded on fact.account_id = graded.account_id
left join counted on fact.thing = counted.thing
where graded.candidate
order by fact.thing, fact.account_id
"""


@dataclass(frozen=True, slots=True)
class Holders:
    """What is stored, for ``graph`` and ``membership``.

    ``held``: graph.HELD, of candidates. ``things``: graph.THINGS. ``facts``: account_id, payment, email_domain.
    ``spans``: account_id, group_key, first_seen, last_seen. ``graded``: account_id, score, named.
    """

    held: pl.DataFrame
    things: pl.DataFrame
    facts: pl.DataFrame
    spans: pl.DataFrame
    graded: pl.DataFrame


def keep_holders(tx: WriteTx, accounts: Collection[str]) -> None:
    """Write anew which things these accounts have signals under, in their last seven days with signals."""
    if not accounts:
        return
    touch(tx, accounts)
    tx.execute("delete from thing_holder where account_id in (select account_id from touched_account)")
    tx.execute(
        """
        insert into thing_holder
        with seen as (
            select
                signal.account_id,
                signal.group_key,
                min(signal.first_seen) as first_seen,
                max(signal.last_seen) as last_seen,
                max(signal.window_end) as latest
            from signal
            inner join touched_account on signal.account_id = touched_account.account_id
            group by signal.account_id, signal.group_key
        ),

        recent as (
            select *
            from seen
            qualify latest > max(latest) over (partition by account_id) - interval 7 days
        )

        select
            account_id,
            group_key,
            first_seen,
            last_seen
        from recent
        where group_key not like 'account:%'
        """
    )


def read_holders(tx: Tx, tests: int) -> Holders:
    """All candidates, and the things that at least MIN_NAMED named accounts of ``tests`` share."""
    bound = {"candidate_at": CANDIDATE_AT, "min_named": MIN_NAMED, "tests": tests}
    holding = tx.execute(_HOLDING, bound).pl().rename({"group_key": "thing"})
    graded = holding.select("account_id", "score", "named").unique(maintain_order=True)
    facts = tx.execute(_FACTS, bound).pl().join(graded, on="account_id", how="inner", maintain_order="left")
    # A rule of one's own may have a group_key that looks like a fact: then it is a key.
    telling = facts.filter(pl.col("unrelated").is_not_null()).join(holding, on="thing", how="anti")
    return Holders(
        held=pl.concat([holding.select(HELD.names()), telling.select(HELD.names())]),
        things=pl.concat([_things(holding, is_key=True), _things(telling, is_key=False)]),
        facts=graded.select("account_id").join(
            facts.pivot("kind", on_columns=FACTS, index="account_id", values="thing", aggregate_function="first"),
            on="account_id",
            how="left",
        ),
        spans=holding.select("account_id", pl.col("thing").alias("group_key"), "first_seen", "last_seen"),
        graded=graded,
    )


def _things(rows: pl.DataFrame, *, is_key: bool) -> pl.DataFrame:
    things = rows.with_columns(pl.lit(value=is_key).alias("is_key")).cast(dict(THINGS))  # type: ignore[arg-type]
    return things.unique("thing", keep="first", maintain_order=True).select(THINGS.names())
