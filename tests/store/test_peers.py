"""`peers` and `rarity`: where an entity stands among those that send as much."""

from __future__ import annotations

from math import floor, log2
from statistics import median

import numpy as np
import polars as pl
import pytest

from pipeline.testing import Bench

FEWEST = 30
PEERS = """
select * from peers(
    (
        select
            list(
                struct_pack(
                    kind := kind, entity_id := entity_id, events := events, value := value, newcomer := newcomer
                )
            )
        from members
    ),
    {fewest}
)
"""


def _peers(bench: Bench, members: pl.DataFrame, fewest: int) -> list[dict[str, object]]:
    connection = bench.store.connection
    connection.register("members", members)
    try:
        return connection.execute(PEERS.format(fewest=fewest)).pl().to_dicts()
    finally:
        connection.unregister("members")


def _drawn() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    kinds = ["account"] * 600 + ["api_key"] * 90 + ["client"] * 10
    return pl.DataFrame(
        {
            "kind": kinds,
            "entity_id": [f"e{i}" for i in range(len(kinds))],
            "events": rng.lognormal(3.5, 1.5, len(kinds)).astype(np.int64) + (np.arange(len(kinds)) % 50 > 0),
            "value": rng.integers(0, 12, len(kinds)).astype(np.float64),
            "newcomer": [None if i % 3 == 0 else i % 3 == 1 for i in range(len(kinds))],
        }
    )


def test_places_among_peers_are_those_counted_by_hand() -> None:
    members = _drawn()
    with Bench() as bench:
        found = {row["entity_id"]: row for row in _peers(bench, members, FEWEST)}
    expected = {}
    for (kind,), of_kind in members.filter(pl.col("events") > 0).group_by("kind"):
        rows = of_kind.sort(-pl.col("value"), "entity_id").to_dicts()
        sizes = [floor(log2(one["events"])) for one in rows]
        old = [size for one, size in zip(rows, sizes, strict=True) if not one["newcomer"]]
        top = max((size for size in sizes if sum(other >= size for other in old) >= FEWEST), default=None)
        for number, (one, own) in enumerate(zip(rows, sizes, strict=True)):
            if top is None:
                continue
            size = min(top, own)
            peers = [
                (place, other["value"])
                for place, (other, its) in enumerate(zip(rows, sizes, strict=True))
                if min(top, its) == size and not other["newcomer"]
            ]
            others = [value for place, value in peers if place != number]
            if len(peers) >= FEWEST:
                as_high = sum(value >= one["value"] for value in others)
                chance = (as_high + 1) / (len(others) + 1)
                below = max((value for value in others if value < one["value"]), default=one["value"])
                expected[one["entity_id"]] = {
                    "kind": kind,
                    "entity_id": one["entity_id"],
                    "value": one["value"],
                    "others": len(others),
                    "as_high": as_high,
                    "chance": chance,
                    "far_chance": chance if as_high else chance * (below / one["value"]),
                    "usual": median(value for _, value in peers),
                    "least_events": 2**size,
                    "most_events": None if size == top else 2 ** (size + 1) - 1,
                }
    assert found == expected
    assert {row["kind"] for row in found.values()} == {"account", "api_key"}
    assert len(found) < members.height


@pytest.mark.parametrize(("chance", "expected"), [(0.5, 0.0), (0.05, 0.0), (0.01, 0.5), (0.002, 1.0), (1e-9, 1.0)])
def test_rarity_grows_with_the_logarithm_of_the_chance(chance: float, expected: float) -> None:
    with Bench() as bench:
        [(got,)] = bench.sql("select rarity($chance, 0.05, 0.002) as rarity", {"chance": chance}).rows()
    # 0.01 is the geometric mean of 0.05 and 0.002.
    assert got == pytest.approx(expected)


def test_the_story_counts_others_only() -> None:
    with Bench() as bench:
        [told] = bench.sql(
            "select peers_story(0, 1240, 128, 255, 'keys') as one, peers_story(5, 1240, 512, null, 'keys') as two"
        ).rows()
    assert told == (
        "than any of 1,240 other keys with 128 to 255 requests, newcomers aside",
        "than 99.6 % of 1,240 other keys with 512 or more requests, newcomers aside",
    )


def test_nobody_to_compare_with_is_no_row() -> None:
    members = pl.DataFrame(
        {"kind": ["account"], "entity_id": ["e"], "events": [100], "value": [1.0], "newcomer": [False]}
    )
    with Bench() as bench:
        assert _peers(bench, members, 1) == []
        assert _peers(bench, members.clear(), 1) == []
