"""The graph of accounts and the things they share, and which of its things belong together.

A bipartite graph: accounts on one side, things (a passage, a client, a payment …) on the other. An edge says that an
account has a thing, and weighs as much as that thing is rare among unrelated accounts. Only rare things join: a
popular one is shared by those who have nothing to do with each other, however many of them are named. Components are
the graph library's (rustworkx); the work grows with the edges, never with pairs of accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
import rustworkx as rx

MIN_NAMED: Final = 3
RARE: Final = 0.01  # a thing that joins is had by at most this share of unrelated accounts …
_MOST: Final = 0.5  # … and what joins two groups is shared by more than this part of either
_KEYS_MOST: Final = 32  # of an account: those that most named accounts share
_SAID: Final = ("system_prompt", "template", "fragment", "reasoning_blob")
# Kinds that say the same once more: a prompt and its passages count once.
_KIND: Final = {"system_prompt": "said", "template": "said", "fragment": "said"}
FACTS: Final = ("payment", "email_domain")  # of which an account has one at most

# account_id, thing, named: which account has which thing.
HELD: Final = pl.Schema({"account_id": pl.String(), "thing": pl.String(), "named": pl.Boolean()})
# ``is_key``: a group_key of signals, else a fact. Of ``everyone``, ``others`` have it and are not named; ``unrelated``
# of them are expected to have nothing to do with those that are.
THINGS: Final = pl.Schema(
    {
        "thing": pl.String(),
        "is_key": pl.Boolean(),
        "others": pl.Float64(),
        "unrelated": pl.Float64(),
        "everyone": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that belong together, and the named accounts that share them."""

    keys: tuple[str, ...]
    core: frozenset[str]


def kind_of(thing: str) -> str:
    """Which things say the same: of one kind only the strongest counts."""
    kind = thing.partition(":")[0]
    return _KIND.get(kind, kind)


def rank(key: str) -> tuple[int, str]:
    """What a campaign says comes before what it comes through: it is there from its first request on."""
    kind = key.partition(":")[0]
    return (_SAID.index(kind) if kind in _SAID else len(_SAID), key)


def chance(unrelated: str) -> pl.Expr:
    """How probably an unrelated account has a thing that so many of ``everyone`` have."""
    return ((pl.col(unrelated) + 0.5) / (pl.col("everyone") + 1)).clip(upper_bound=1.0)


def find_groups(held: pl.DataFrame, things: pl.DataFrame) -> list[Group]:
    """Which keys belong together; the same whatever the order of rows.

    Args:
        held: HELD; of named accounts at least, a row an account and thing.
        things: THINGS.
    """
    sized = _sized(held, things)
    keys = sized.filter("is_key")
    keys = keys.sort("size", "thing", descending=[True, False]).group_by("account_id").head(_KEYS_MOST)
    joined = _by_facts(_components(*_mostly_held(keys.filter("rare"), sized.filter("rare"))), sized)
    groups = _claimed(joined, {})
    taken = {account for group in groups for account in group.core}
    left = keys.filter(~pl.col("rare") & ~pl.col("account_id").is_in(sorted(taken)))
    left = left.filter(pl.len().over("thing") >= MIN_NAMED)
    popular = _components(*_mutually_held(left))
    return groups + _claimed(popular, dict.fromkeys(taken, 1))


def rare_things(held: pl.DataFrame, things: pl.DataFrame) -> pl.DataFrame:
    """The things that several named accounts share and hardly any other account has: thing, kind."""
    rare = _sized(held, things).filter("rare").select("thing").unique().sort("thing")
    return rare.with_columns(pl.Series("kind", [kind_of(thing) for thing in rare["thing"]], dtype=pl.String()))


def _sized(held: pl.DataFrame, things: pl.DataFrame) -> pl.DataFrame:
    """Named accounts and the things that at least MIN_NAMED of them share, with how many do and whether it is rare."""
    named = held.filter("named").select("account_id", "thing").join(things, on="thing", how="inner")
    sized = named.with_columns(pl.len().over("thing").alias("size")).filter(pl.col("size") >= MIN_NAMED)
    rare = (chance("others") <= RARE) & (pl.col("others") <= pl.col("size"))
    return sized.with_columns(rare.alias("rare"))


Members = Mapping[str, frozenset[str]]


def _mostly_held(keys: pl.DataFrame, rare: pl.DataFrame) -> tuple[Members, pl.DataFrame]:
    """An edge from a key to a rare thing that most of the key's named accounts have."""
    pairs = (
        keys.select("account_id", "thing", "size")
        .join(rare.select("account_id", pl.col("thing").alias("other")), on="account_id")
        .group_by("thing", "other", "size")
        .len()
        .filter(pl.col("len") > _MOST * pl.col("size"))
    )
    return _accounts(keys), pairs.select("thing", "other")


def _mutually_held(keys: pl.DataFrame) -> tuple[Members, pl.DataFrame]:
    """An edge between two keys that most of the larger one's named accounts have both."""
    one = keys.select("account_id", "thing", "size")
    pairs = (
        one.join(one, on="account_id", suffix="_other")
        .group_by("thing", "thing_other", "size", "size_other")
        .len()
        .filter(pl.col("len") > _MOST * pl.max_horizontal("size", "size_other"))
    )
    return _accounts(keys), pairs.select("thing", pl.col("thing_other").alias("other"))


def _accounts(keys: pl.DataFrame) -> Members:
    grouped = keys.group_by("thing").agg("account_id")
    return {thing: frozenset(accounts) for thing, accounts in grouped.iter_rows()}


def _components(members: Members, edges: pl.DataFrame) -> list[Group]:
    """Connected components of keys and things, as groups of the keys in them."""
    return [
        Group(tuple(keys), frozenset().union(*(members[key] for key in keys)))
        for component in _connected([*members, *edges["other"]], edges.iter_rows())
        if (keys := [name for name in component if name in members])
    ]


def _connected(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The library's connected components, each sorted, in order of their first."""
    nodes = sorted(set(names))
    number = {name: index for index, name in enumerate(nodes)}
    graph: rx.PyGraph[str, None] = rx.PyGraph(multigraph=False)
    graph.add_nodes_from(nodes)
    graph.add_edges_from_no_data([(number[one], number[other]) for one, other in edges])
    return sorted(sorted(nodes[index] for index in component) for component in rx.connected_components(graph))


def _by_facts(groups: Sequence[Group], sized: pl.DataFrame) -> list[Group]:
    """Groups that pay or register alike are one: the distributions of their rare payments overlap by more than half.

    No single card joins two groups, however rare: a pool uses dozens.
    """
    if len(groups) < 2:
        return list(groups)
    core = pl.DataFrame(
        {"group": list(range(len(groups))), "account_id": [sorted(group.core) for group in groups]},
        schema={"group": pl.Int64(), "account_id": pl.List(pl.String())},
    ).explode("account_id")
    shares = (
        sized.filter(pl.col("rare") & ~pl.col("is_key"))
        .select("account_id", "thing")
        .join(core, on="account_id")
        .group_by("group", "thing")
        .len("accounts")
        .with_columns(
            pl.col("thing").str.split(":").list.first().alias("kind"),
            (pl.col("accounts") / pl.col("group").replace_strict({i: len(g.core) for i, g in enumerate(groups)})).alias(
                "share"
            ),
        )
    )
    pairs = (
        shares.join(shares, on=["kind", "thing"], suffix="_other")
        .filter(pl.col("group") < pl.col("group_other"))
        .group_by("group", "group_other", "kind")
        .agg(pl.min_horizontal("share", "share_other").sum().round(9).alias("alike"))
        .filter(pl.col("alike") > _MOST)
    )
    named = [str(index) for index in range(len(groups))]
    edges = [(str(one), str(other)) for one, other in pairs.select("group", "group_other").iter_rows()]
    return [_union([groups[int(index)] for index in component]) for component in _connected(named, edges)]


def _union(groups: Sequence[Group]) -> Group:
    keys = sorted(key for group in groups for key in group.keys)
    return Group(tuple(keys), frozenset().union(*(group.core for group in groups)))


def _claimed(groups: Sequence[Group], taken: Mapping[str, int]) -> list[Group]:
    """The groups that stand for accounts of their own; one whose accounts mostly stand in others is none."""
    seen = set(taken)
    kept = []
    for group in sorted(groups, key=lambda one: (min(map(rank, one.keys))[0], -len(one.core), one.keys)):
        own = len(group.core - seen)
        if own >= MIN_NAMED and own > _MOST * len(group.core):
            kept.append(group)
            seen |= group.core
    return kept
