"""Who belongs to a campaign beside the accounts that are named."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.detect.membership import memberships

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
NAMED = {f"n{i}": (0.95, ("template:a", "client:b", "template:c")) for i in range(9)}


def members(popular: int = 100_000, **more: tuple[float, tuple[str, ...]]) -> dict[str, float]:
    """Probability of each member; ``client:b`` is popular or not, the templates have the named and ``more``."""
    rows = [
        {"account_id": account, "group_key": key, "score": score, "named": score >= 0.9}
        for account, (score, keys) in (NAMED | more).items()
        for key in keys
    ]
    edges = pl.DataFrame(rows).with_columns(pl.lit(NOW).alias("first_seen"), pl.lit(NOW).alias("last_seen"))
    holders = edges.group_by("group_key").agg(pl.len().alias("holders"), pl.col("named").sum().alias("named_holders"))
    extra = pl.when(pl.col("group_key") == "client:b").then(popular).otherwise(0)
    frame = memberships(edges, holders.with_columns(pl.col("holders") + extra))
    backwards = memberships(edges.reverse(), holders.with_columns(pl.col("holders") + extra).reverse())
    assert frame.equals(backwards)
    return dict(frame.select("account_id", "probability").iter_rows())


def test_weak_evidence_and_two_rare_things_make_a_member_below_the_named() -> None:
    found = members(0, weak=(0.4, ("template:a", "client:b")))
    # Nine of ten holders are named: a weight of 9 / 11 each.
    assert found["weak"] == pytest.approx(0.4 + 0.55 * (1 - (2 / 11) ** 2))
    assert found["weak"] < min(found[name] for name in NAMED)


@pytest.mark.parametrize("keys", [("client:b",), ("template:a",), ("template:a", "template:c")])
def test_one_kind_of_thing_ties_nobody(keys: tuple[str, ...]) -> None:
    assert "other" not in members(other=(0.4, keys))


def test_two_popular_things_tie_nobody() -> None:
    crowd = {f"u{i}": (0.499, ("template:a", "client:b")) for i in range(900)}
    assert set(members(100_000, **crowd)) == set(NAMED)


def test_named_accounts_keep_their_score_and_half_sure_ones_stay_members() -> None:
    found = members(half=(0.6, ("client:b",)))
    assert found == dict.fromkeys(NAMED, 0.95) | {"half": 0.6}
