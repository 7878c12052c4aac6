"""How probably an account belongs to a campaign: Bayes over what it shares of what the campaign's named accounts share.

Of a campaign with M named accounts among N tested, a thing that n of them have, and that unrelated accounts have with
chance q, weighs ``ln(p / q)`` with ``p = (n + 0.5) / (M + 1)``. Of each kind of thing the weightiest that the account
has counts; where it has none of a kind, ``ln((1 - P) / (1 - Q))``: P is the share of named accounts with anything of
that kind, Q the chance of it. Kinds are taken as independent. The score of the account takes no part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.detect.graph import FACTS, MIN_NAMED, Group, chance, kind_of

_DIGITS: Final = 4  # of a probability: more would change with every account that comes or goes
_SUREST: Final = 0.9999
_WORTH_TELLING: Final = 0.01  # who belongs less probably is not told of, unless he is named
_TELLING: Final = 10.0  # a thing tells something when named accounts have it so many times as often as unrelated ones


@dataclass(frozen=True, slots=True)
class Membership:
    """``things``: what each group shares (group, thing, kind, joins, named_accounts, unrelated, everyone,
    weight, weight_missing). ``members``: group, account_id, probability, shared. ``prior_odds``: of each group.
    """

    things: pl.DataFrame
    members: pl.DataFrame
    prior_odds: tuple[float, ...]


def find_members(
    groups: Sequence[Group], held: pl.DataFrame, things: pl.DataFrame, facts: pl.DataFrame, tests: int
) -> Membership:
    """Who belongs to which group, and how probably. Candidates have at least one of a group's keys.

    Args:
        groups: of ``graph.find_groups``.
        held: graph.HELD, of all candidates.
        things: graph.THINGS.
        facts: account_id, payment, email_domain: null where it is not known, so that having none says nothing.
        tests: how many accounts there are.
    """
    cores = pl.DataFrame(
        {"group": list(range(len(groups))), "account_id": [sorted(group.core) for group in groups]},
        schema={"group": pl.Int64(), "account_id": pl.List(pl.String())},
    ).with_columns(pl.col("account_id").list.len().alias("size"))
    cores = cores.explode("account_id")
    joins = pl.DataFrame(
        {"group": list(range(len(groups))), "thing": [list(group.keys) for group in groups]},
        schema={"group": pl.Int64(), "thing": pl.List(pl.String())},
    ).explode("thing")
    shared = _shared(cores, joins, held.join(things, on="thing"))
    candidates = held.join(joins, on="thing").select("group", "account_id", "named").unique()
    having = candidates.join(held, on="account_id").join(shared, on=["group", "thing"])
    has = having.sort("thing").group_by("group", "account_id", maintain_order=True).agg(pl.col("thing"))
    best = having.group_by("group", "account_id", "kind").agg(pl.col("weight").max())
    kinds = shared.select("group", "kind", "weight_missing").unique()
    odds = {index: len(group.core) for index, group in enumerate(groups)}
    prior = tuple((count + 0.5) / (max(tests - count, 0) + 0.5) for count in odds.values())
    unknown = pl.any_horizontal([(pl.col("kind") == name) & pl.col(name).is_null() for name in FACTS])
    members = (
        candidates.join(kinds, on="group")
        .join(best, on=["group", "account_id", "kind"], how="left")
        .join(facts, on="account_id", how="left")
        .with_columns(
            pl.when(pl.col("weight").is_not_null())
            .then("weight")
            .when(unknown)
            .then(0.0)
            .otherwise("weight_missing")
            .alias("evidence")
        )
        .sort("group", "account_id", "kind")
        .group_by("group", "account_id", "named", maintain_order=True)
        .agg(pl.col("evidence").sum())
        .with_columns(
            pl.col("evidence") + pl.col("group").replace_strict(dict(enumerate(prior)), return_dtype=pl.Float64()).log()
        )
        .with_columns(
            (1 / (1 + (-pl.col("evidence")).exp())).clip(1 - _SUREST, _SUREST).round(_DIGITS).alias("probability")
        )
        .filter(pl.col("named") | (pl.col("probability") >= _WORTH_TELLING))
        .join(has, on=["group", "account_id"])
        .select("group", "account_id", "probability", pl.col("thing").alias("shared"))
    )
    return Membership(shared.sort("group", "thing"), members, prior)


def _shared(cores: pl.DataFrame, joins: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """What named accounts of each group share, more often than unrelated ones do."""
    having = cores.join(held.filter("named"), on="account_id")
    kinds = (
        having.select("thing")
        .unique()
        .with_columns(pl.col("thing").map_elements(kind_of, return_dtype=pl.String()).alias("kind"))
    )
    q = chance("unrelated")
    p = (pl.col("named_accounts") + 0.5) / (pl.col("size") + 1)
    things = (
        having.join(kinds, on="thing")
        .group_by("group", "thing", "kind", "size", "unrelated", "everyone")
        .agg(pl.len().alias("named_accounts"))
        .join(joins.with_columns(pl.lit(value=True).alias("joins")), on=["group", "thing"], how="left")
        .with_columns(
            pl.col("joins").fill_null(value=False),
            (p / q).log().clip(lower_bound=0.0).round(6).alias("weight"),
            q.alias("chance"),
        )
        .filter((pl.col("named_accounts") >= MIN_NAMED) & ((pl.col("weight") >= math.log(_TELLING)) | pl.col("joins")))
    )
    missing = (
        having.join(things.select("group", "thing", "kind"), on=["group", "thing"])
        .group_by("group", "kind", "size")
        .agg(pl.col("account_id").n_unique().alias("any"))
        .join(things.sort("thing").group_by("group", "kind").agg(pl.col("chance").sum()), on=["group", "kind"])
        .select(
            "group",
            "kind",
            ((1 - (pl.col("any") + 0.5) / (pl.col("size") + 1)) / (1 - pl.col("chance").clip(upper_bound=0.5)))
            .log()
            .clip(upper_bound=0.0)
            .round(6)
            .alias("weight_missing"),
        )
    )
    return things.join(missing, on=["group", "kind"]).select(
        "group", "thing", "kind", "joins", "named_accounts", "unrelated", "everyone", "weight", "weight_missing"
    )
