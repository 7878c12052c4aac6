"""`crowds` counts what the customers of a crowd have in common as counting it one by one does."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.testing import Bench

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
ACCOUNTS = [f"a{place:02d}" for place in range(80)]
KINDS = ("client", "network", "payment", "email domain")
OWN_SHARE, FEWEST = 0.4, 4
CROWDS = (
    "select thing_id, customers, client, network, payment, email, list_sort(bound) as bound from crowds("
    "(select list(struct_pack(kind := 'template', thing_id, account_id, events := 1, asking := 0.0)) "
    f"from members), '{BEGIN}', '{BEGIN + timedelta(hours=1)}', 30, {OWN_SHARE}, {FEWEST}) order by thing_id"
)


def _traits(rng: np.random.Generator) -> dict[str, set[tuple[str, str]]]:
    """Things of four kinds an account, few enough that crowds share some; three networks are one place."""
    found = {}
    for account in ACCOUNTS:
        things = {("client", f"c{rng.integers(24)}"), ("payment", f"p{rng.integers(16)}")}
        things |= {("network", f"10.{rng.integers(5)}.{rng.integers(3)}.0/24") for _ in range(int(rng.integers(1, 3)))}
        if rng.random() < 0.8:
            things.add(("email domain", f"mail{rng.integers(16)}.example"))
        found[account] = things
    return found


def _alike(speaking: dict[str, str], traits: dict[str, set[tuple[str, str]]]) -> tuple[list[float], list[str]]:
    """The shares of a crowd, by kind, and the customers who have one of what counts."""
    shares, bound = [], set()
    for kind in KINDS:
        everywhere, here = defaultdict(set), defaultdict(set)
        for account, things in traits.items():
            for thing in (name for of_kind, name in things if of_kind == kind):
                everywhere[thing].add(account)
                if account in speaking:
                    here[thing].add(account)
        own = {thing: who for thing, who in here.items() if len(who) >= max(3, OWN_SHARE * len(everywhere[thing]))}
        places: dict[str, int] = defaultdict(int)
        for thing, who in own.items():
            places[_place(kind, thing)] += len(who)
        largest = min(places, key=lambda place: (-places[place], place), default=None)
        counted = [who for thing, who in own.items() if kind == "client" or _place(kind, thing) != largest]
        holders = {account for who in counted for account in who}
        shares.append(len(holders) / len(speaking))
        bound |= {speaking[account] for account in holders}
    return shares, sorted(bound)


def _place(kind: str, thing: str) -> str:
    return ".".join(thing.split(".")[:2]) if kind == "network" else thing


@pytest.mark.parametrize("seed", range(3))
def test_crowds_count_what_their_customers_have_in_common(seed: int) -> None:
    rng = np.random.default_rng(seed)
    traits = _traits(rng)
    # Accounts of one organisation are one customer, for whom the first in a crowd speaks.
    customers = {account: f"org{rng.integers(60)}" for account in ACCOUNTS}
    # Whoever has one of a few things tends to be in one crowd.
    gathers = [
        {f"c{place}"} | {name for step in (0, 5, 10) for name in (f"p{place + step}", f"mail{place + step}.example")}
        for place in range(5)
    ]
    members = [
        (f"t{place}", account)
        for place, names in enumerate(gathers)
        for account in ACCOUNTS
        if rng.random() < (0.9 if names & {name for _, name in traits[account]} else 0.1)
    ]
    links = [(account, kind, name) for account, things in traits.items() for kind, name in things if kind in KINDS[:2]]
    links += [(account, "model", "m-1") for account in ACCOUNTS]
    facts = {
        kind: {account: name for account, things in traits.items() for of_kind, name in things if of_kind == kind}
        for kind in KINDS
    }
    with Bench() as bench, bench.store.transaction() as tx:
        tx.insert("link_delta", _rows(links))
        for account in ACCOUNTS:
            tx.execute(
                "insert into account_fact (account_id, organisation, payment_hash, email_domain, updated_at) "
                "values (?, ?, ?, ?, ?)",
                [account, customers[account], facts["payment"][account], facts["email domain"].get(account), BEGIN],
            )
        tx.execute("create temp table members (thing_id varchar, account_id varchar)")
        for thing, account in members:
            tx.execute("insert into members values (?, ?)", [thing, account])
        found = tx.execute(CROWDS).fetchall()
    wanted = []
    for thing in sorted({name for name, _ in members}):
        first: dict[str, str] = {}
        for account in sorted(account for name, account in members if name == thing):
            first.setdefault(customers[account], account)
        if len(first) >= FEWEST:
            shares, bound = _alike({account: customer for customer, account in first.items()}, traits)
            wanted.append((thing, len(first), *(pytest.approx(share) for share in shares), bound))
    assert found == wanted
    assert all(any(row[column] > 0 for row in found) for column in (2, 4, 5))


def _rows(links: list[tuple[str, str, str]]) -> pl.DataFrame:
    accounts, kinds, things = zip(*links, strict=True)
    return pl.DataFrame(
        {
            "hour": BEGIN,
            "source_kind": "account",
            "source_id": accounts,
            "target_kind": kinds,
            "target_id": things,
            "events": 1,
            "output_tokens": 0,
            "first_seen": BEGIN,
            "last_seen": BEGIN,
            "source_partition": 0,
            "from_offset": range(len(links)),
        }
    )
