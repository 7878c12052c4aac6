"""Saved questions that read less than they ask about: their answers are those of the question put plainly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from pipeline.cli.saved import saved_query
from pipeline.clock import ManualClock
from pipeline.events.cues import KINDS
from pipeline.simulate.texts import built_in_texts
from pipeline.store.fold import fold_everything
from pipeline.store.query import run_query
from pipeline.testing import START, Bench

END: Final = START + timedelta(hours=62)  # neither at the end of a day nor of an hour
_NEIGHBOURS: Final = """
with
used as (
    select distinct source_id as account_id, target_kind as kind, target_id as id
    from links
    where
        source_kind = 'account' and target_kind not in ('model', 'asn')
        and hour > (select date_trunc('hour', max(last_seen)) from accounts) - to_hours($hours)
    union
    select account_id, 'payment', payment_hash from accounts where payment_hash is not null
    union
    select account_id, 'email domain', email_domain from accounts where email_domain is not null
),
mine as (
    select kind, id, (select count(*) from used as o where o.kind = used.kind and o.id = used.id) as holders
    from used
    where account_id = $account
)
select used.account_id, count(*) as shared_things, round(sum(1 / mine.holders), 3) as closeness
from used inner join mine on used.kind = mine.kind and used.id = mine.id
where mine.holders between 2 and $most_holders and used.account_id <> $account
group by used.account_id
order by closeness desc, account_id
"""
_ALIKE: Final = """
with
said as (select * from account_distributions($since, $until) where events >= 20),
everyone as (
    select sum(events)::bigint as events, distribution_sum(prompt_sum) as prompt_sum
    from account_distributions($since, $until)
),
apart as (
    select
        said.*,
        distribution_distance(
            said.prompt_sum, said.events, distribution_without(everyone.prompt_sum, said.prompt_sum),
            everyone.events - said.events
        ) / distribution_error(
            said.prompt_sum, said.events, distribution_without(everyone.prompt_sum, said.prompt_sum),
            everyone.events - said.events
        ) as apart
    from said, everyone
)
select
    a.account_id,
    count(*) as alike,
    list(b.account_id order by distribution_distance(a.prompt_sum, a.events, b.prompt_sum, b.events)
        / distribution_error(a.prompt_sum, a.events, b.prompt_sum, b.events), b.account_id)[1:5] as some_of_them,
    round(any_value(a.apart), 1) as apart_from_all
from apart as a inner join apart as b on a.account_id <> b.account_id
where
    a.apart >= $apart and b.apart >= $apart
    and distribution_distance(a.prompt_sum, a.events, b.prompt_sum, b.events)
    / distribution_error(a.prompt_sum, a.events, b.prompt_sum, b.events) < $alike
group by a.account_id
order by alike desc, a.account_id
"""


def answer(bench: Bench, name: str, **params: object) -> list[dict[str, Any]]:
    query = saved_query(name)
    found = run_query(bench.store, query.sql, params={**query.defaults, **params}, timeout_s=60, max_rows=1000)
    return found.table.to_pylist()


def plainly(bench: Bench, sql: str, **params: object) -> list[dict[str, Any]]:
    return run_query(bench.store, sql, params=params, timeout_s=60, max_rows=1000).table.to_pylist()


@pytest.fixture(scope="module", params=["as deltas", "folded", "both"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    chance = random.Random(5)
    made = [
        {
            "account_id": f"a{number}",
            "timestamp": (END - timedelta(hours=61.9 * chance.random() ** 2)).isoformat(),
            "prompt": chance.choice(["Sum up what follows", "Translate what follows", f"Say {chance.randrange(40)}"]),
            "user_agent": f"agent {chance.randrange(12)}",
            "ip": f"10.0.{chance.randrange(30)}.9",
            "api_key_id": f"key {number}",
        }
        for number in (min(int(chance.expovariate(0.1)), 39) for _ in range(500))
    ]
    made.append({"account_id": "a1", "timestamp": END.isoformat(), "prompt": "the last"})
    with Bench(clock=ManualClock(END)) as world:
        world.add_events(made[:250])
        world.add_accounts(
            [
                {
                    "account_id": f"a{number}",
                    "payment_hash": f"p{number % 9}",
                    **({"email_domain": f"d{number % 6}.example"} if number % 4 else {}),
                }
                for number in range(45)  # some of whom never sent anything
            ]
        )
        if request.param == "both":
            with world.store.transaction() as tx:
                fold_everything(tx)
        world.add_events(made[250:])
        if request.param == "folded":
            with world.store.transaction() as tx:
                fold_everything(tx)
        yield world


@pytest.mark.parametrize("hours", [1, 14, 15, 48, 168])
@pytest.mark.parametrize("most_holders", [2, 12])
def test_neighbours_are_those_of_all_links(bench: Bench, hours: int, most_holders: int) -> None:
    for account in ("a0", "a7", "a44", "nobody"):
        params = {"account": account, "hours": hours, "most_holders": most_holders}
        found = answer(bench, "account_neighbours", **params)
        assert [{name: row[name] for name in row if name != "some_of_them"} for row in found] == plainly(
            bench, _NEIGHBOURS, **params
        )
        assert all(0 < len(row["some_of_them"]) == min(10, row["shared_things"]) for row in found)


def test_the_busiest_account_has_neighbours(bench: Bench) -> None:
    assert answer(bench, "account_neighbours")


@pytest.mark.parametrize("apart", [-50, 0, 3])
@pytest.mark.parametrize("alike", [0.5, 1.5, 4])
def test_pairs_are_measured_as_the_functions_measure_them(apart: float, alike: float) -> None:
    pools = {kind: list(dict.fromkeys(texts)) for kind, texts in built_in_texts(1).pools.items()}
    kinds = [kind for kind in sorted(pools) if len(pools[kind]) >= 400][:3]
    assert len(KINDS) > len(kinds) >= 2
    with Bench() as world:
        for number in range(18):
            texts = pools[kinds[number % len(kinds)]][number * 22 : number * 22 + 22]
            world.add_events([{"account_id": f"a{number}", "prompt": text} for text in texts])
        found = answer(world, "prompts_distributed_alike", apart=apart, alike=alike)
        since, until = START - timedelta(hours=24), START + timedelta(hours=24)
        expected = plainly(world, _ALIKE, since=since, until=until, apart=apart, alike=alike)
    assert [
        {
            "account_id": row["account_id"],
            "alike": row["alike_without_a_prompt_in_common"],
            "some_of_them": row["some_of_them"],
            "apart_from_all": row["apart_from_all"],
        }
        for row in found
    ] == expected
    assert found or apart == 3 or alike == 0.5
