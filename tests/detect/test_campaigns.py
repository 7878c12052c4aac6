"""Campaigns as they are stored: the same at the end whatever came first, with what they share and who belongs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.detect.campaigns import update_campaigns
from tests.detect.world import START, Tx

TESTS = 5000
QUIET = timedelta(days=3)
UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Account:
    """What is stored of one account: its things, score and facts."""

    account_id: str
    things: tuple[str, ...]
    score: float = 0.97
    named: bool = True
    payment: str | None = None
    cleared: str | None = None


def pool(name: str, first: int, until: int, *things: str, cards: int = 0) -> list[Account]:
    """Named accounts that share everything."""
    return [
        Account(f"{name}{n}", things, payment=f"{name}-card-{n % cards}" if cards else f"own-{name}-{n}")
        for n in range(first, until)
    ]


def store(tx: Tx, accounts: Iterable[Account], days: int = 0) -> list[str]:
    """Their signals, findings and facts in place of what was stored of them."""
    rows = list(accounts)
    ids = [one.account_id for one in rows]
    for table, column in (("signal", "account_id"), ("finding", "entity_id"), ("accounts", "account_id")):
        tx.execute(f"delete from {table} where {column} in (select unnest($ids::varchar[]))", {"ids": ids})
    moment, later = (pl.lit(START + timedelta(minutes=m), dtype=UTC) for m in (1440 * days, 1440 * days + 12))
    frame = pl.DataFrame(
        {
            "account_id": ids,
            "group_key": [list(one.things) for one in rows],
            "score": [one.score for one in rows],
            "named": [one.named for one in rows],
            "cleared_reason": [one.cleared for one in rows],
            "payment_hash": [one.payment for one in rows],
        },
        schema_overrides={"cleared_reason": pl.String(), "payment_hash": pl.String()},
    ).with_columns(moment.alias("first_seen"), later.alias("last_seen"))
    tx.insert(
        "signal",
        frame.explode("group_key").select(
            pl.lit("shared_prompt").alias("rule_id"),
            pl.lit("likeness").alias("evidence"),
            pl.lit("account").alias("dimension"),
            pl.col("account_id").alias("entity_id"),
            "account_id",
            "group_key",
            pl.col("score").alias("strength"),
            pl.format("It shares {}.", "group_key").alias("reason"),
            moment.alias("window_start"),
            (moment + pl.duration(hours=6)).alias("window_end"),
            "first_seen",
            "last_seen",
        ),
    )
    tx.insert(
        "finding",
        frame.select(
            pl.format("account:{}", "account_id").alias("finding_id"),
            pl.lit("account").alias("dimension"),
            pl.col("account_id").alias("entity_id"),
            *("score", "named", "cleared_reason"),
            pl.lit([], dtype=pl.List(pl.String())).alias("reasons"),
            *("first_seen", "last_seen"),
            *(moment.alias(name) for name in ("created_at", "updated_at")),
        ),
    )
    tx.insert("accounts", frame.select("account_id", "payment_hash", "first_seen", "last_seen"))
    return ids


def look(tx: Tx, accounts: Sequence[Account], minute: int = 12) -> tuple[str, ...]:
    """Store them and look for campaigns."""
    return update_campaigns(tx, store(tx, accounts), tests=TESTS, quiet=QUIET, now=START + timedelta(minutes=minute))


def state(tx: Tx) -> list[tuple[Any, ...]]:
    """What stands there, but for identities and when it was written."""
    members = tx.execute(
        "select campaign_id, list((account_id, probability, shared, first_seen, last_seen) order by account_id)"
        " from campaign_members group by campaign_id"
    ).fetchall()
    keys = dict(
        tx.execute("select campaign_id, list(group_key order by group_key) from campaign_keys group by 1").fetchall()
    )
    things = dict(
        tx.execute(
            "select campaign_id, list((thing, named_accounts, unrelated, weight, weight_missing) order by thing)"
            " from campaign_things group by 1"
        ).fetchall()
    )
    rows = {
        row[0]: row[1:]
        for row in tx.execute(
            "select campaign_id, score, accounts, named_accounts, reasons, prior_odds, first_seen, last_seen,"
            " last_request, ended_at from campaigns"
        ).fetchall()
    }
    assert rows.keys() == keys.keys() == {row[0] for row in members}
    return sorted((keys[one], rows[one], things[one], who) for one, who in members)


def ids(tx: Tx) -> dict[str, str]:
    """The campaign of each account, by its finding."""
    return dict(
        tx.execute(
            "select entity_id, campaign_id from findings where dimension = 'account' and campaign_id is not null"
        ).fetchall()
    )


WEAK = [replace(one, payment="a-card-1") for one in pool("weak", 0, 5, "fragment:a", "client:a", "network:vpn")]
WORLD = [
    *pool("a", 0, 40, "fragment:a", "client:a", "network:vpn", cards=5),
    *pool("b", 0, 30, "fragment:b", "network:vpn"),
    *(replace(one, named=False, score=0.6) for one in pool("shop", 0, 90, "network:vpn")),
    *(replace(one, named=False, score=0.7) for one in WEAK),
    Account("user", ("client:a",), score=0.55, named=False, payment="own"),
    Account("guest", ("client:a", "network:vpn"), score=0.55, named=False, payment="his"),
    Account("known", ("fragment:a",), cleared="a tester", named=False),
]


def test_what_is_found_does_not_depend_on_what_came_first() -> None:
    once = Tx()
    look(once, WORLD)
    assert len(state(once)) == 2
    for seed in range(3):
        steps = Tx()
        order = pl.Series(range(len(WORLD))).shuffle(seed=seed).to_list()
        for part in range(0, len(WORLD), 31):
            look(steps, [WORLD[index] for index in order[part : part + 31]])
        # Scores and names were others on the way, and one passage was shared by all.
        look(steps, [replace(one, things=(*one.things, "fragment:c")) for one in WORLD[:70]])
        look(steps, [replace(one, named=False, score=0.5) for one in WORLD[20:60]])
        look(steps, WORLD)
        assert state(steps) == state(once)


def test_a_look_without_news_writes_nothing() -> None:
    tx = Tx()
    look(tx, WORLD)
    assert update_campaigns(tx, (), tests=TESTS, quiet=QUIET, now=START + timedelta(hours=1)) == ()


def test_two_campaigns_on_one_network_stay_apart_and_its_innocent_users_are_in_neither() -> None:
    tx = Tx()
    look(tx, WORLD)
    found = ids(tx)
    assert len({found["a1"], found["b1"]}) == 2
    assert Counter(account.rstrip("0123456789") for account in found) == {"a": 40, "b": 30, "weak": 5}
    shared = dict(
        tx.execute("select thing, weight from campaign_things where campaign_id = $1", [found["b1"]]).fetchall()
    )
    assert "network:vpn" in shared
    assert shared["network:vpn"] < shared["fragment:b"]


def use(tx: Tx, kind: str, thing: str, accounts: Sequence[str], events: int = 1) -> None:
    """Requests of accounts of which no rule says anything."""
    moment = pl.lit(START + timedelta(minutes=1), dtype=UTC)
    tx.insert(
        "link_hour",
        pl.DataFrame({"source_id": accounts}).select(
            pl.lit(START, dtype=UTC).alias("hour"),
            pl.lit("account").alias("source_kind"),
            "source_id",
            pl.lit(kind).alias("target_kind"),
            pl.lit(thing).alias("target_id"),
            pl.lit(events, pl.Int64).alias("events"),
            pl.lit(0, pl.Int64).alias("output_tokens"),
            moment.alias("first_seen"),
            moment.alias("last_seen"),
        ),
    )


def test_who_uses_a_thing_counts_though_no_rule_says_anything_about_him() -> None:
    both = [*pool("a", 0, 30, "fragment:a", "network:vpn"), *pool("b", 0, 30, "fragment:b", "network:vpn")]
    alone, crowded = Tx(), Tx()
    for tx in (alone, crowded):
        use(tx, "model", "m", [f"a{n}" for n in range(30)] + [f"quiet{n}" for n in range(2000)])
    use(crowded, "network", "vpn", [f"quiet{n}" for n in range(200)])
    look(alone, both)
    look(crowded, both)
    assert len(set(ids(alone).values())) == 1
    assert len(set(ids(crowded).values())) == 2
    # How common it was is kept when those days are long over, and their links too.
    store(crowded, pool("late", 0, 3, "fragment:late"), days=4)
    update_campaigns(crowded, [f"late{n}" for n in range(3)], tests=TESTS, quiet=QUIET, now=START)
    crowded.execute("delete from link_hour")
    look(crowded, both)
    assert len(set(ids(crowded).values())) == 3


def test_a_member_by_one_shared_thing_is_told_to_be_an_improbable_one() -> None:
    tx = Tx()
    look(tx, WORLD)
    rows = tx.execute("select account_id, probability from campaign_members").fetchall()
    found = dict(rows)
    assert 0.01 <= found["guest"] < 0.5
    assert "user" not in found
    assert found["weak1"] > 0.95
    assert "known" not in found


def test_every_probability_can_be_recomputed_from_the_views() -> None:
    tx = Tx()
    look(tx, WORLD)
    campaigns = dict(tx.execute("select campaign_id, prior_odds from campaigns").fetchall())
    things = tx.execute("select * from campaign_things").pl()
    members = tx.execute("select * from campaign_members").pl()
    facts = dict(tx.execute("select account_id, payment_hash from accounts").fetchall())
    assert members.height > 70
    for campaign, account, probability, shared in members.select(
        "campaign_id", "account_id", "probability", "shared"
    ).iter_rows():
        total = math.log(campaigns[campaign])
        for (kind,), rows in things.filter(pl.col("campaign_id") == campaign).group_by("kind"):
            has = rows.filter(pl.col("thing").is_in(shared))
            if has.height:
                total += float(has["weight"].max())  # type: ignore[arg-type]
            elif kind != "payment" or facts[account] is not None:
                total += rows["weight_missing"][0]
        assert probability == pytest.approx(1 / (1 + math.exp(-total)), abs=1.1e-4)


def test_what_grows_keeps_its_identity_and_since_when_each_is_in_it() -> None:
    tx = Tx()
    look(tx, pool("a", 0, 10, "fragment:z"))
    before = ids(tx)["a0"]
    look(tx, pool("a", 0, 30, "fragment:z", "fragment:a", "client:a"), minute=20)
    assert set(ids(tx).values()) == {before}
    joined = dict(tx.execute("select account_id, joined_at from campaign_members").fetchall())
    assert joined["a0"] == START + timedelta(minutes=12)
    assert joined["a20"] == START + timedelta(minutes=20)


def test_what_merges_and_parts_again() -> None:
    tx = Tx()
    older, younger = pool("a", 0, 10, "fragment:a"), pool("b", 0, 9, "fragment:b")
    look(tx, older)
    look(tx, younger, minute=13)
    first, second = ids(tx)["a0"], ids(tx)["b0"]
    both = [replace(one, things=(*one.things, "client:own")) for one in (*older, *younger)]
    look(tx, both, minute=14)
    assert set(ids(tx).values()) == {first}
    assert tx.execute("select campaign_id, merged_into from merged_campaigns").fetchall() == [(second, first)]
    look(tx, [*older, *younger], minute=15)
    assert (ids(tx)["a0"], ids(tx)["b0"]) == (first, second)
    assert tx.execute("select count(*) from merged_campaigns").fetchone() == (0,)


def test_what_nobody_named_is_left_in_is_gone_and_comes_back_as_what_it_was() -> None:
    tx = Tx()
    look(tx, pool("a", 0, 10, "fragment:z"))
    before = ids(tx)
    look(tx, [replace(one, named=False) for one in pool("a", 0, 10, "fragment:z")], minute=20)
    assert ids(tx) == {}
    assert state(tx) == []
    assert tx.execute("select count(*) from findings where dimension = 'campaign'").fetchone() == (0,)
    look(tx, pool("a", 0, 10, "fragment:z"), minute=30)
    assert ids(tx) == before


def test_an_old_store_is_judged_by_the_graph_at_its_first_look() -> None:
    tx = Tx()
    look(tx, WORLD)
    whole = state(tx)
    tx.execute("delete from campaign_thing")
    tx.execute("update campaign_member set shared = null")
    tx.execute("update campaign set prior_odds = null")
    assert len(update_campaigns(tx, (), tests=TESTS, quiet=QUIET, now=START)) == 2
    assert state(tx) == whole


def reach(tx: Tx, hours: float) -> None:
    """Say how far event time has been looked at."""
    tx.execute("delete from rule_state")
    tx.execute("insert into rule_state values ('r', $1, null, 'ok', 0, null, 0, $1)", [START + timedelta(hours=hours)])


def events(tx: Tx) -> list[tuple[Any, ...]]:
    """What looks recorded, without when."""
    return tx.execute(
        "select campaign_id, change, accounts, named_accounts, other_campaign from campaign_events order by seq"
    ).fetchall()


def test_looks_record_what_they_saw_change() -> None:
    tx = Tx()
    reach(tx, 1)
    older, younger = pool("a", 0, 10, "fragment:a"), pool("b", 0, 9, "fragment:b")
    look(tx, older)
    look(tx, older)
    look(tx, younger)
    first, second = ids(tx)["a0"], ids(tx)["b0"]
    look(tx, pool("a", 10, 12, "fragment:a"))  # two more are not worth a line
    look(tx, pool("a", 12, 14, "fragment:a"))
    both = [*pool("a", 0, 14, "fragment:a"), *younger]
    look(tx, [replace(one, things=(*one.things, "client:own")) for one in both])
    look(tx, both)
    look(tx, [replace(one, named=False, score=0.6) for one in younger])
    look(tx, younger)
    assert events(tx) == [
        (first, "born", 10, 10, None),
        (second, "born", 9, 9, None),
        (first, "grew", 14, 14, None),
        (first, "absorbed", 23, 23, second),
        (first, "grew", 23, 23, None),
        (second, "merged", 9, 9, first),
        (first, "split", 23, 23, second),
        (second, "split_off", 9, 9, first),
        (second, "faded", 9, 9, None),
        (second, "returned", 9, 9, None),
    ]


def test_a_campaign_ends_by_event_time_and_awakes() -> None:
    tx = Tx()
    members = pool("a", 0, 10, "fragment:a")
    reach(tx, 2)
    look(tx, members)
    reach(tx, 72)  # its latest request was at 0:12
    look(tx, [])
    assert tx.execute("select last_request, ended_at from campaigns").fetchone() == (
        START + timedelta(minutes=12),
        None,
    )
    reach(tx, 73)
    look(tx, [])
    end = START + timedelta(days=3, minutes=12)
    assert tx.execute("select ended_at from campaigns").fetchone() == (end,)
    at_once = Tx()
    reach(at_once, 73)
    look(at_once, members)
    assert state(at_once) == state(tx)
    tx.execute("update accounts set last_seen = last_seen + interval 80 hours where account_id = 'a3'")
    look(tx, [])
    assert tx.execute("select ended_at from campaigns").fetchone() == (None,)
    assert [change for _, change, *_ in events(tx)] == ["born", "ended", "awoke"]
    assert [change for _, change, *_ in events(at_once)] == ["born", "ended"]
    told = tx.execute("select event_until from campaign_events where change = 'ended'").fetchone()
    assert told == (START + timedelta(hours=73),)


def test_a_second_pool_is_told_to_succeed_the_first_and_names_nobody() -> None:
    first = pool("a", 0, 20, "fragment:p", "client:own")
    second = [replace(one, account_id=f"b{n}", payment=None) for n, one in enumerate(first)]
    unnamed = [replace(one, account_id=f"u{n}", named=False, score=0.6) for n, one in enumerate(first[:5])]
    new_user = Account("tool-user", ("client:own",), score=0.55, named=False)
    at_once, steps = Tx(), Tx()
    for tx in (at_once, steps):
        reach(tx, 30)
    look(steps, first)
    assert steps.execute("select count(*) from campaign_successions").fetchone() == (0,)
    for tx in (at_once, steps):
        store(tx, first)
        everybody = [*store(tx, [*second, *unnamed, new_user], days=1), *(one.account_id for one in first)]
        before = tx.execute("select count(*) from findings where named and dimension = 'account'").fetchone()
        update_campaigns(tx, everybody, tests=TESTS, quiet=QUIET, now=START)
        assert tx.execute("select count(*) from findings where named and dimension = 'account'").fetchone() == before
    found = [
        tx.execute("select * exclude (campaign_id, succeeds) from campaign_successions").fetchall()
        for tx in (at_once, steps)
    ]
    assert found[0] == found[1]
    [(stopped_at, began_at, accounts_before, accounts_after, strength, evidence)] = found[0]
    assert (accounts_before, accounts_after) == (20, 25)
    assert (stopped_at, began_at) == (START + timedelta(minutes=12), START + timedelta(days=1))
    assert strength == pytest.approx(0.75 * (1 - 0.1 * 0.3))
    assert any("age is not known" in line for line in evidence)
