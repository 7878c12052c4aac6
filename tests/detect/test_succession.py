"""Who took over where others stopped, and who only came later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.detect.lives import LIVES
from pipeline.detect.succession import Succession, find_successions

START = datetime(2026, 1, 5, tzinfo=UTC)
RARE = pl.Schema({"account_id": pl.String(), "thing": pl.String(), "kind": pl.String()})


def at(hours: float) -> datetime:
    return START + timedelta(hours=float(hours))


def lives(campaign: str, spans: Sequence[tuple[float, float]], *, age_days: float = 2, **more: object) -> pl.DataFrame:
    """Accounts of a campaign that were served from one hour to another."""
    rows = [
        {
            "campaign_id": campaign,
            "account_id": f"{campaign}-{begin:.3f}-{number}",
            "began": at(begin),
            "stopped": at(end),
            "last_request": at(end),
            "refused_after": False,
            "created_at": at(begin - 24 * age_days),
            "status": None,
            **more,
        }
        for number, (begin, end) in enumerate(spans)
    ]
    return pl.DataFrame(rows, schema={"campaign_id": pl.String(), **LIVES})


def pool(begin: float, hours: float, accounts: int, seed: int = 1) -> list[tuple[float, float]]:
    """Accounts that send some dozens of requests each while the pool is there."""
    sent = np.sort(np.random.default_rng(seed).uniform(begin, begin + hours, (accounts, 20)), axis=1)
    return list(zip(sent[:, 0].tolist(), sent[:, -1].tolist(), strict=True))


def rare(frame: pl.DataFrame, things: Mapping[str, float]) -> pl.DataFrame:
    """The first part of each campaign's accounts that has each thing, as ``kind:id`` says."""
    rows = []
    for _, some in frame.group_by("campaign_id", maintain_order=True):
        names = some["account_id"].to_list()
        rows += [
            (name, thing, thing.split(":")[0])
            for thing, share in things.items()
            for name in names[: round(share * len(names))]
        ]
    return pl.DataFrame(rows, schema=RARE, orient="row")


def said(frame: pl.DataFrame) -> pl.DataFrame:
    """All of them say the same."""
    return rare(frame, {"said:p": 1.0})


def only(found: list[Succession]) -> Succession:
    assert len(found) == 1
    return found[0]


def test_a_pool_that_takes_over_under_the_same_passage_succeeds_the_first() -> None:
    frame = pl.concat([lives("c", pool(0, 8, 60)), lives("c", pool(20, 8, 50, seed=2))])
    found = only(find_successions(frame, said(frame)))
    assert (found.campaign_id, found.succeeds) == ("c", "c")
    assert (found.accounts_before, found.accounts_after) == (60, 50)
    assert found.stopped_at == frame["stopped"][:60].max()
    assert found.began_at == frame["began"][60:].min()
    assert found.strength == pytest.approx(0.9)
    assert "100% in common of prompts and passages" in found.evidence[0]


def test_three_pools_in_a_row_are_two_successions() -> None:
    frame = pl.concat([lives("c", pool(30 * n, 8, 20 + n, seed=n)) for n in range(3)])
    assert [(one.accounts_before, one.accounts_after) for one in find_successions(frame, said(frame))] == [
        (20, 21),
        (21, 22),
    ]


def test_the_order_of_rows_changes_nothing() -> None:
    frame = pl.concat([lives("c", pool(0, 8, 60)), lives("c", pool(20, 8, 50, seed=2)), lives("d", pool(60, 9, 40))])
    once = find_successions(frame, said(frame))
    assert len(once) == 2
    again = frame.sample(fraction=1.0, shuffle=True, seed=3)
    assert find_successions(again, said(frame).reverse()) == once


@pytest.mark.parametrize("hours", [0.5, 5, 40])
def test_accounts_that_come_and_go_one_by_one_are_one_pool(hours: float) -> None:
    begins = np.random.default_rng(4).uniform(0, 200, 150).tolist()
    frame = lives("c", [(begin, begin + hours) for begin in begins])
    assert find_successions(frame, said(frame)) == []


def test_a_campaign_that_sleeps_at_night_has_nothing_to_succeed() -> None:
    frame = lives("c", [(0.1 * n, 40 + 0.1 * n) for n in range(50)])
    assert find_successions(frame, said(frame)) == []


def test_old_accounts_that_come_later_are_no_successors() -> None:
    first = lives("c", pool(0, 8, 60))
    old = pl.concat([first, lives("c", pool(20, 8, 50), age_days=400)])
    assert find_successions(old, said(old)) == []
    unknown = pl.concat([first, lives("c", pool(20, 8, 50), created_at=None)])
    found = only(find_successions(unknown, said(unknown)))
    assert 0.5 < found.strength < 0.9
    assert any("age is not known" in line for line in found.evidence)


def test_another_campaign_that_begins_later_succeeds_only_what_it_is_like() -> None:
    frame = pl.concat([lives("a", pool(0, 8, 40)), lives("b", pool(20, 8, 40, seed=2))])
    cards = pl.concat([rare(frame, {"payment:1": 0.4, "client:x": 0.6}), rare(frame, {"payment:2": 0.2})]).unique()
    found = only(find_successions(frame, cards))
    assert (found.campaign_id, found.succeeds) == ("b", "a")
    shared = 1 - (1 - 0.8 * 0.6) * (1 - 0.7 * 0.6)
    assert found.strength == pytest.approx(shared, abs=1e-4)
    assert find_successions(frame, rare(frame, {"payment:1": 0.2})) == []
    assert find_successions(frame, rare(frame, {"network:n": 1.0})) == []


def test_what_runs_beside_another_or_a_year_later_succeeds_nothing() -> None:
    beside = pl.concat([lives("a", pool(0, 8, 40)), lives("b", pool(4, 8, 40, seed=2))])
    assert find_successions(beside, said(beside)) == []
    later = pl.concat([lives("a", pool(0, 8, 40)), lives("b", pool(24 * 300, 8, 40, seed=2))])
    assert find_successions(later, said(later)) == []


def test_a_ban_is_told() -> None:
    frame = pl.concat(
        [
            lives("c", pool(0, 8, 30), status="banned", refused_after=True),
            lives("c", pool(20, 8, 30, seed=2), status="active"),
        ]
    )
    found = only(find_successions(frame, said(frame)))
    assert "30 of the 30 that stopped went on to send requests that all failed." in found.evidence
    assert "30 of them are told to be 'banned', of the later ones 0." in found.evidence
