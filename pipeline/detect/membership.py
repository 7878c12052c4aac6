"""How probably an account belongs to a campaign: its own evidence, and how strongly it is tied to the named members.

Accounts and the things they share (group keys) are two sides of a graph that is never projected: the cost is linear in
its edges, however many accounts share one thing. docs/method.md has the formula and its limits.
"""

from __future__ import annotations

from typing import Final

import polars as pl

MEMBER_AT: Final = 0.5
WEAK_AT: Final = 0.3
MIN_KINDS: Final = 2
MIN_TIE: Final = 0.5  # below it, popular things would lift who is nearly at MEMBER_AT over it
MIN_NAMED: Final = 3


def memberships(edges: pl.DataFrame, holders: pl.DataFrame) -> pl.DataFrame:
    """Members of one campaign, in order of account.

    Args:
        edges: account_id, group_key, score, named, first_seen, last_seen; a row an account and key of the campaign,
            accounts from ``WEAK_AT`` on.
        holders: group_key, holders, named_holders; over all accounts with a signal on the key, cleared ones too.

    Returns:
        account_id, probability, named, first_seen, last_seen. A named account has its score; any other comes below
        the lowest named one or has its own score, and counts from ``MEMBER_AT`` on.
    """
    weighed = edges.join(holders, on="group_key", how="left").with_columns(
        pl.col("group_key").str.split_exact(":", 1).struct.field("field_0").alias("kind"),
        (pl.col("named_holders") / (pl.col("holders") + 1)).alias("weight"),
    )
    # Two keys of one kind look at the same facts; sorted, so that the product is the same to the last bit.
    ties = (
        weighed.group_by("account_id", "kind")
        .agg(pl.col("weight").max())
        .sort("account_id", "kind")
        .group_by("account_id", maintain_order=True)
        .agg((1 - (1 - pl.col("weight")).product()).alias("tie"), pl.len().alias("kinds"))
    )
    accounts = edges.group_by("account_id").agg(
        pl.col("score").first(), pl.col("named").first(), pl.col("first_seen").min(), pl.col("last_seen").max()
    )
    named = accounts.filter("named")
    ceiling = named["score"].min() if named.height >= MIN_NAMED else None
    lift = (pl.lit(ceiling, dtype=pl.Float64) - pl.col("score")).clip(lower_bound=0) * pl.col("tie")
    tied = ~pl.col("named") & (pl.col("kinds") >= MIN_KINDS) & (pl.col("tie") >= MIN_TIE)
    return (
        accounts.join(ties, on="account_id")
        .with_columns((pl.col("score") + pl.when(tied).then(lift).otherwise(0.0).fill_null(0.0)).alias("probability"))
        .filter(pl.col("probability") >= MEMBER_AT)
        .select("account_id", "probability", "named", "first_seen", "last_seen")
        .sort("account_id")
    )
