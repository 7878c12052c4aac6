"""Who has which thing: kept by account from its signals, read with the facts that accounts may share too.

What is read grows with the accounts that are named and with those that share a key with them, not with all that have a
signal: a million accounts that share one popular template stay in the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.detect.graph import FACTS, HELD, MIN_NAMED, THINGS, Group
from pipeline.detect.tables import WriteTx, touch

CANDIDATE_AT: Final = 0.5  # the score from which on an account may be a member

# An account that is not named is unrelated by what its score leaves open, in whole millionths, so that a sum does not
# depend on the order. Whom a person cleared is unrelated.
_GRADED: Final = """
create or replace temp table graded as
select
    entity_id as account_id,
    score,
    named,
    (named or score >= $candidate_at) and cleared_reason is null as candidate,
    case
        when named then 0
        when cleared_reason is not null then 1000000
        else round(1000000 * (1 - score))::bigint
    end as unrelated
from finding
where dimension = 'account'
"""
# Of each key that enough named accounts share: how many others have it, whether or not a rule has a signal about them,
# and how many of those are expected to be unrelated.
_SHARED_KEY: Final = """
create or replace temp table shared_key as
with key as (
    select
        thing_holder.group_key,
        count(*) as holders,
        count(*) filter (where graded.named) as named,
        sum(coalesce(graded.unrelated, 1000000)) / 1000000 as unrelated
    from thing_holder
    left join graded on thing_holder.account_id = graded.account_id
    group by thing_holder.group_key
    having count(*) filter (where graded.named) >= $min_named
)

select
    key.group_key,
    greatest(key.holders, coalesce(thing_population.holders, 0)) - key.named as others,
    key.unrelated + greatest(0, coalesce(thing_population.holders, 0) - key.holders) as unrelated,
    coalesce(thing_population.accounts, $tests) as everyone
from key
left join thing_population on key.group_key = thing_population.group_key
"""
# The same of payments and mail domains. A rule of one's own may have a group_key that looks like one: then it is a key.
_SHARED_FACT: Final = """
create or replace temp table shared_fact as
with fact as (
    select
        account_id,
        'payment' as kind,
        payment_hash as id
    from account_fact
    where payment_hash is not null
    union all
    select
        account_id,
        'email_domain' as kind,
        email_domain as id
    from account_fact
    where email_domain is not null
),

told as (
    select
        fact.kind,
        fact.id
    from fact
    inner join graded on fact.account_id = graded.account_id
    where graded.named
    group by fact.kind, fact.id
    having count(*) >= $min_named
)

select
    fact.kind,
    fact.id,
    count(*) filter (where not coalesce(graded.named, false)) as others,
    sum(coalesce(graded.unrelated, 1000000)) / 1000000 as unrelated,
    $tests as everyone
from fact
inner join told on fact.kind = told.kind and fact.id = told.id
left join graded on fact.account_id = graded.account_id
where fact.kind || ':' || fact.id not in (select group_key from shared_key)
group by fact.kind, fact.id
"""
_THINGS: Final = """
select
    group_key as thing,
    true as is_key,
    others,
    unrelated,
    everyone
from shared_key
union all
select
    kind || ':' || id as thing,
    false as is_key,
    others,
    unrelated,
    everyone
from shared_fact
order by thing
"""
# Whose things and facts are read: `touched_account`.
_HELD: Final = """
select
    thing_holder.account_id,
    thing_holder.group_key,
    thing_holder.first_seen,
    thing_holder.last_seen
from thing_holder
inner join touched_account on thing_holder.account_id = touched_account.account_id
inner join shared_key on thing_holder.group_key = shared_key.group_key
"""
_FACTS: Final = """
select
    account_fact.account_id,
    'payment:' || account_fact.payment_hash as payment,
    'email_domain:' || account_fact.email_domain as email_domain
from account_fact
inner join touched_account on account_fact.account_id = touched_account.account_id
"""
_CANDIDATES: Final = """
select distinct graded.account_id
from graded
inner join thing_holder on graded.account_id = thing_holder.account_id
where graded.candidate and thing_holder.group_key in (select unnest($keys::varchar[]))
"""


@dataclass(frozen=True, slots=True)
class Holders:
    """What some accounts have, for ``graph`` and ``membership``.

    ``held``: graph.HELD. ``facts``: account_id, payment, email_domain, as things. ``spans``: account_id, group_key,
    first_seen, last_seen. ``graded``: account_id, score, named.
    """

    held: pl.DataFrame
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
            where signal.evidence <> 'unscored'
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


def read_shared(tx: WriteTx, tests: int) -> tuple[pl.DataFrame, Holders]:
    """The things that at least MIN_NAMED named accounts of ``tests`` share (graph.THINGS), and the named accounts."""
    tx.execute(_GRADED, {"candidate_at": CANDIDATE_AT})
    tx.execute(_SHARED_KEY, {"min_named": MIN_NAMED, "tests": tests})
    tx.execute(_SHARED_FACT, {"min_named": MIN_NAMED, "tests": tests})
    things = tx.execute(_THINGS).pl().cast(dict(THINGS))  # type: ignore[arg-type]
    named = tx.execute("select account_id from graded where named and candidate").pl()["account_id"]
    return things, _holders(tx, named.to_list(), things)


def read_candidates(tx: WriteTx, groups: Sequence[Group], things: pl.DataFrame) -> Holders:
    """All who may be members of these groups. After ``read_shared``, in its transaction."""
    keys = sorted({key for group in groups for key in group.keys})
    found = tx.execute(_CANDIDATES, {"keys": keys}).pl()["account_id"]
    return _holders(tx, found.cast(pl.String()).to_list(), things)


def _holders(tx: WriteTx, accounts: Collection[str], things: pl.DataFrame) -> Holders:
    touch(tx, accounts)
    spans = tx.execute(_HELD).pl()
    facts = tx.execute(_FACTS).pl()
    facts = facts.cast(dict.fromkeys(facts.columns, pl.String))
    graded = tx.execute(
        "select graded.account_id, graded.score, graded.named from graded "
        "inner join touched_account on graded.account_id = touched_account.account_id order by graded.account_id"
    ).pl()
    of_facts = facts.unpivot(FACTS, index="account_id", value_name="thing").join(
        things.filter(~pl.col("is_key")), on="thing"
    )
    held = pl.concat(
        [spans.select("account_id", pl.col("group_key").alias("thing")), of_facts.select("account_id", "thing")]
    )
    return Holders(held.join(graded, on="account_id").select(HELD.names()), facts, spans, graded)
