"""Which keys make one campaign, and under which identity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from pipeline.detect.campaigns import Group, group_keys, new_campaign_id

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def edges(**keys: list[str]) -> pl.DataFrame:
    """Named accounts of each key; later keys were seen later."""
    rows = [
        {"account_id": account, "group_key": key, "named": True, "first_seen": START + timedelta(minutes=number)}
        for number, (key, accounts) in enumerate(keys.items())
        for account in accounts
    ]
    return pl.DataFrame(rows)


def test_three_named_accounts_make_a_campaign_and_two_do_not() -> None:
    groups = group_keys(edges(a=["1", "2", "3"], b=["8", "9"]), {}, {})
    assert groups == [Group(new_campaign_id("a"), ("a",))]


def test_keys_that_share_half_of_their_accounts_are_one() -> None:
    groups = group_keys(edges(b=["1", "2", "3", "4"], a=["3", "4", "5", "6"]), {}, {})
    assert groups == [Group(new_campaign_id("a"), ("a", "b"))]


def test_the_identity_comes_from_what_a_campaign_says_before_what_it_comes_through() -> None:
    both = {"client:a": ["1", "2", "3"], "template:z": ["1", "2", "3"], "network:b": ["1", "2", "3"]}
    groups = group_keys(edges(**both), {}, {})
    assert [group.campaign_id for group in groups] == [new_campaign_id("template:z")]


def test_one_account_in_common_joins_nothing() -> None:
    groups = group_keys(edges(a=["1", "2", "3", "4"], b=["4", "5", "6", "7"]), {}, {})
    assert {group.keys for group in groups} == {("a",), ("b",)}


def test_the_identity_survives_new_keys() -> None:
    groups = group_keys(edges(z=["1", "2", "3"], a=["1", "2", "3"]), {"z": "cmp_old"}, {"cmp_old": START})
    assert groups == [Group("cmp_old", ("a", "z"))]


def test_when_two_become_one_the_older_stays() -> None:
    known, ages = {"a": "cmp_young", "b": "cmp_old"}, {"cmp_young": START + timedelta(hours=1), "cmp_old": START}
    groups = group_keys(edges(a=["1", "2", "3"], b=["1", "2", "3"]), known, ages)
    assert groups == [Group("cmp_old", ("a", "b"), ("cmp_young",))]


def test_keys_of_one_campaign_stay_together_when_their_accounts_part() -> None:
    known = {"a": "cmp_1", "b": "cmp_1"}
    groups = group_keys(edges(a=["1", "2", "3"], b=["7", "8", "9"]), known, {"cmp_1": START})
    assert groups == [Group("cmp_1", ("a", "b"))]


def test_a_campaign_whose_evidence_is_gone_is_still_written() -> None:
    none = edges(a=["1"]).filter(pl.lit(value=False))
    assert group_keys(none, {"a": "cmp_1"}, {"cmp_1": START}) == [Group("cmp_1", ("a",))]
