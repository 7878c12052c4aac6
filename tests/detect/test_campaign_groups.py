"""Which things make one campaign, who belongs to it, and under which identity it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import rustworkx as rx

from pipeline.detect.graph import HELD, THINGS, Group, find_groups
from pipeline.detect.identity import Placed, Stored, new_campaign_id, place
from pipeline.detect.membership import find_members

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
TESTS = 5000


def span(first: int, until: int) -> list[str]:
    """Accounts a5, a6 … by number."""
    return [f"a{number}" for number in range(first, until)]


def held(named: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]] | None = None) -> pl.DataFrame:
    """Who has which thing."""
    rows = [(account, thing, True) for thing, accounts in named.items() for account in accounts]
    rows += [(account, thing, False) for thing, accounts in (others or {}).items() for account in accounts]
    return pl.DataFrame(rows, schema=HELD, orient="row")


def things(frame: pl.DataFrame, **unrelated: float) -> pl.DataFrame:
    """Every thing of the frame; ``kind_id=number`` says how many unrelated accounts have ``kind:id``."""
    names = frame["thing"].unique().sort().to_list()
    popular = {":".join(name.rsplit("_", 1)): count for name, count in unrelated.items()}
    keys = [not name.startswith(("payment:", "email")) for name in names]
    return pl.DataFrame(
        {
            "thing": names,
            "is_key": keys,
            "others": [popular.get(name, 0.0) for name in names],
            "unrelated": [popular.get(name, 0.0) for name in names],
            "everyone": [TESTS] * len(names),
        },
        schema=THINGS,
    )


def groups(named: Mapping[str, Sequence[str]], **unrelated: float) -> list[tuple[str, ...]]:
    """The keys of each group."""
    frame = held(named)
    return sorted(group.keys for group in find_groups(frame, things(frame, **unrelated)))


def connected(named: Mapping[str, Sequence[str]]) -> int:
    """How many components the graph of accounts and things has when nothing is weighed."""
    graph: rx.PyGraph[str, None] = rx.PyGraph()
    nodes = {name: graph.add_node(name) for name in [*named, *{one for accounts in named.values() for one in accounts}]}
    graph.add_edges_from_no_data([(nodes[thing], nodes[one]) for thing, accounts in named.items() for one in accounts])
    return rx.number_connected_components(graph)


def test_three_named_accounts_make_a_campaign_and_two_do_not() -> None:
    assert groups({"client:a": span(1, 4), "client:b": span(8, 10)}) == [("client:a",)]


def test_a_popular_thing_joins_nothing_however_many_of_both_have_it() -> None:
    two = {
        "fragment:a": span(0, 40),
        "client:a": span(0, 30),
        "fragment:b": span(40, 80),
        "network:vpn": span(0, 80),
        "client:common": span(0, 80),
    }
    assert connected(two) == 1
    found = groups(two, network_vpn=500.0, client_common=1500.0)
    assert found == [("client:a", "fragment:a"), ("fragment:b",)]
    assert groups(two, network_vpn=500.0, client_common=1.0) != found


def test_one_campaign_over_several_passages_is_one_through_a_client_of_its_own() -> None:
    parts = {f"fragment:{number}": span(number * 20, number * 20 + 20) for number in range(5)}
    assert len(groups(parts)) == 5
    assert groups({**parts, "client:own": span(0, 100)}) == [("client:own", *sorted(parts))]
    # Louvain and Leiden put apart what so few edges join; here it takes more than half of each part.
    some = [account for number in range(5) for account in span(number * 20, number * 20 + 11)]
    assert len(groups({**parts, "client:own": some})) == 1


def test_passages_whose_accounts_pay_from_one_stack_of_cards_are_one_campaign() -> None:
    passages = {"fragment:a": span(0, 40), "fragment:b": span(40, 80)}
    cards = {f"payment:{number}": [f"a{number}", f"a{number + 40}", f"a{number + 20}"] for number in range(20)}
    cards = {card: [*accounts, f"a{60 + int(accounts[0][1:])}"] for card, accounts in cards.items()}
    assert groups({**passages, **cards}) == [("fragment:a", "fragment:b")]


def test_a_card_that_a_few_of_both_share_joins_nothing() -> None:
    passages = {"fragment:a": span(0, 40), "fragment:b": span(40, 80)}
    bridge = {"payment:reseller": [*span(0, 3), *span(40, 43)], "client:rare": [*span(3, 7), *span(43, 47)]}
    assert connected({**passages, **bridge}) == 1
    assert groups({**passages, **bridge}) == [("fragment:a",), ("fragment:b",)]


def test_one_account_in_two_campaigns_joins_nothing() -> None:
    assert groups({"fragment:a": span(0, 10), "fragment:b": span(9, 20)}) == [("fragment:a",), ("fragment:b",)]


def test_accounts_that_share_only_something_popular_are_still_a_campaign() -> None:
    popular = {"system_prompt:tool": span(0, 30), "fragment:tool": span(0, 30), "fragment:own": span(30, 60)}
    found = groups(popular, system_prompt_tool=900.0, fragment_tool=900.0)
    assert found == [("fragment:own",), ("fragment:tool", "system_prompt:tool")]
    # Of what is popular too, nothing is left for the one network that they come through.
    vpn = {**popular, "network:vpn": span(0, 60)}
    assert groups(vpn, system_prompt_tool=900.0, fragment_tool=900.0, network_vpn=900.0) == found


def test_the_order_of_rows_changes_nothing() -> None:
    frame = held({f"fragment:{n % 7}": span(n * 3, n * 5 + 9) for n in range(40)} | {"client:c": span(0, 90)})
    first = find_groups(frame, things(frame))
    for seed in range(3):
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
        assert find_groups(shuffled, things(frame).reverse()) == first


def test_half_a_million_accounts_that_share_one_popular_template_cost_no_pairs() -> None:
    frame = pl.concat(
        [
            held({"fragment:own": span(0, 20)}),
            pl.DataFrame({"account_id": [f"b{n}" for n in range(500_000)]}).with_columns(
                pl.lit("template:popular").alias("thing"), pl.lit(value=True).alias("named")
            ),
        ]
    )
    found = find_groups(frame, things(frame, template_popular=400_000.0))
    assert [len(group.core) for group in found] == [20, 500_000]


def probabilities(frame: pl.DataFrame, facts: pl.DataFrame | None = None, **unrelated: float) -> dict[str, float]:
    """Of the only group."""
    known = things(frame, **unrelated)
    found = find_groups(frame, known)
    assert len(found) == 1
    columns = {"account_id": pl.String(), "payment": pl.String(), "email_domain": pl.String()}
    members = find_members(found, frame, known, pl.DataFrame(schema=columns) if facts is None else facts, TESTS)
    return dict(members.members.select("account_id", "probability").iter_rows())


POOL = {"fragment:p": span(0, 100), "client:own": span(0, 60), "network:cheap": span(0, 90)}


def test_membership_can_be_recomputed_by_hand() -> None:
    frame = held(POOL, {"fragment:p": ["x"], "network:cheap": ["x"]})
    found = probabilities(frame, fragment_p=0.2, network_cheap=120.4)
    said = math.log((100.5 / 101) / (0.7 / 5001))
    network = math.log((90.5 / 101) / (120.9 / 5001))
    no_client = math.log((1 - 60.5 / 101) / (1 - 0.5 / 5001))
    odds = 100.5 / 4900.5 * math.exp(said + network + no_client)
    assert found["x"] == pytest.approx(odds / (1 + odds), abs=1e-4)


def test_who_shares_all_that_a_campaign_shares_belongs_and_who_shares_one_thing_does_not() -> None:
    frame = held(POOL, {"fragment:p": ["twin"], "client:own": ["twin", "user"], "network:cheap": ["twin", "guest"]})
    found = probabilities(frame, client_own=0.9, network_cheap=120.0)
    assert found["twin"] > 0.99
    assert found["a0"] > 0.99
    assert found["user"] < 0.1
    assert "guest" not in found or found["guest"] < 0.01


def test_a_payment_that_is_not_known_says_nothing_and_one_of_its_own_speaks_against_it() -> None:
    cards = {f"payment:{n}": span(n * 10, n * 10 + 10) for n in range(9)}
    frame = held({**POOL, **cards}, {"network:cheap": ["poor", "own"], "client:own": ["poor", "own"]})
    facts = pl.DataFrame({"account_id": ["poor", "own"], "payment": [None, "payment:z"], "email_domain": [None, None]})
    found = probabilities(frame, facts.cast(pl.String()), network_cheap=120.0)
    assert found["own"] < found["poor"]


def group(*keys: str, core: Sequence[str] = ()) -> Group:
    return Group(tuple(sorted(keys)), frozenset(core))


def stored(*keys: str, core: Sequence[str] = (), hours: int = 0, merged_into: str | None = None) -> Stored:
    return Stored(START + timedelta(hours=hours), merged_into, keys[0], frozenset(keys), frozenset(core))


def test_the_identity_comes_from_what_a_campaign_says_before_what_it_comes_through() -> None:
    [one] = place([group("client:a", "network:b", "template:z", core=span(0, 9))], {})
    assert one == Placed(new_campaign_id("template:z"), "template:z")


def test_the_identity_survives_new_keys_and_new_accounts() -> None:
    known = {"cmp_old": stored("fragment:z", core=span(0, 9))}
    [one] = place([group("fragment:a", "fragment:z", core=span(5, 20))], known)
    assert one == Placed("cmp_old", "fragment:z")


def test_a_campaign_that_changes_all_that_it_says_is_known_by_its_accounts() -> None:
    known = {"cmp_old": stored("fragment:z", core=span(0, 9))}
    assert place([group("fragment:new", core=span(2, 20))], known)[0].campaign_id == "cmp_old"
    assert place([group("fragment:new", core=span(6, 20))], known)[0].campaign_id != "cmp_old"


def test_when_two_become_one_the_older_stays() -> None:
    known = {
        "cmp_young": stored("fragment:a", core=span(0, 90), hours=1),
        "cmp_old": stored("fragment:b", core=span(90, 99)),
    }
    [one] = place([group("fragment:a", "fragment:b", core=span(0, 99))], known)
    assert one == Placed("cmp_old", "fragment:b", ("cmp_young",))


def test_when_one_parts_the_larger_part_keeps_the_identity() -> None:
    first = new_campaign_id("fragment:a")
    known = {first: stored("fragment:a", "fragment:b", core=span(0, 30))}
    parts = [group("fragment:a", core=span(0, 10)), group("fragment:b", core=span(10, 30))]
    small, large = place(parts, known)
    assert large.campaign_id == first
    assert small.split_from == first
    # Its first key gave the identity that the larger part has: it gets another.
    assert small.campaign_id not in {first, new_campaign_id("fragment:b")}


def test_what_was_merged_and_parts_again_is_itself_again() -> None:
    older, younger = new_campaign_id("fragment:a"), new_campaign_id("fragment:b")
    known = {
        older: stored("fragment:a", "fragment:b", core=span(0, 30)),
        younger: Stored(START, older, "fragment:b", frozenset()),
    }
    parts = place([group("fragment:a", core=span(0, 20)), group("fragment:b", core=span(20, 30))], known)
    assert [one.campaign_id for one in parts] == [older, younger]
    assert parts[1].split_from == older


def test_what_comes_back_is_known_by_its_keys() -> None:
    known = {"cmp_old": stored("fragment:z")}
    assert place([group("fragment:z", core=span(0, 9))], known)[0].campaign_id == "cmp_old"
