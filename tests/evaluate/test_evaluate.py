"""What is planted, found and falsely accused is counted as it says; small worlds hold their floors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isclose

import numpy as np
import polars as pl
import pytest

from pipeline.errors import UsageError
from pipeline.evaluate import Evaluation, Plan, evaluate, render
from pipeline.evaluate.baselines import aegisgate, mmd, prada, volume
from pipeline.evaluate.intervals import mean, proportion
from pipeline.evaluate.knowledge import at_level
from pipeline.evaluate.run import quick
from pipeline.evaluate.score import Found, RunScore, score
from pipeline.evaluate.summary import summarise
from pipeline.simulate import plan
from tests.evaluate.worlds import ALL

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def found(named: list[str], members: list[tuple[str, str]], alerts: list[tuple[str, datetime]]) -> Found:
    """What detection says: who is named, who is in which campaign, who was alerted about when."""
    return Found(
        pl.DataFrame(
            {"account_id": named, "score": [0.95] * len(named), "named": [True] * len(named)},
            schema={"account_id": pl.String(), "score": pl.Float64(), "named": pl.Boolean()},
        ),
        pl.DataFrame(members, schema={"campaign_id": pl.String(), "account_id": pl.String()}, orient="row"),
        pl.DataFrame(alerts, schema={"account_id": pl.String(), "opened_at": pl.Datetime("us", "UTC")}, orient="row"),
    )


def judged(what: Found) -> RunScore:
    """Three benign accounts over two days, a campaign of four, each of which sends twice."""
    accounts = ["b1", "b2", "b3", "p1", "p2", "p3", "p4"]
    truth = pl.DataFrame(
        {
            "account_id": [*accounts, "silent"],
            "cohort": ["chat", "chat", "tool", *["campaign"] * 4, "chat"],
            "campaign_id": [None, None, None, *["x-1"] * 4, None],
        }
    )
    requests = pl.DataFrame(
        {
            "account_id": [*accounts, *accounts],
            "timestamp": [START + timedelta(hours=14 * turn, minutes=at) for turn in (0, 1) for at in range(7)],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    return score(truth, requests, what, scenario="x", knowledge="full", seed=1)


def test_what_is_found_missed_and_accused_is_counted() -> None:
    run = judged(
        found(
            ["p1", "p2", "p3", "b3"],
            [("c", "p1"), ("c", "p2"), ("c", "p3"), ("c", "b3"), ("c", "p4")],
            [("p2", START + timedelta(minutes=5)), ("b3", START)],
        )
    )
    assert run.benign_days == {"chat": 4, "tool": 2}
    assert run.falsely_named_days == {"tool": 2}
    assert run.false_discoveries == 0.25
    [campaign] = run.campaigns
    assert (campaign.members, campaign.named, campaign.recall) == (4, 3, 0.75)
    assert campaign.found
    assert campaign.purity == 0.75
    assert (campaign.requests, campaign.requests_before) == (8, 3)


def test_a_campaign_of_others_is_not_this_one() -> None:
    run = judged(found(["p1", "b1", "b2"], [("c", "p1"), ("c", "b1"), ("c", "b2")], []))
    [campaign] = run.campaigns
    assert not campaign.found
    assert campaign.purity is None
    assert campaign.requests_before is None


def test_nothing_named_is_nothing_wrong() -> None:
    run = judged(found([], [], []))
    assert run.false_discoveries == 0
    assert [(row.name, row.met) for row in summarise([run]).rows["full"]][:1] == [
        ("benign account-days falsely named", True)
    ]


def test_intervals() -> None:
    # Wilson's interval of 0 in 1,000 reaches z²/(n + z²); of a half in 100 it is 0.404 to 0.596.
    none, half = proportion(0, 1000), proportion(50, 100)
    assert none.low == 0
    assert isclose(none.high, 1.959964**2 / (1000 + 1.959964**2), rel_tol=1e-9)
    assert (round(half.low, 3), round(half.high, 3)) == (0.404, 0.596)
    assert mean([0.5, 0.5, 0.5]).low == 0.5
    spread = mean([0.0, 1.0] * 10)
    assert spread.low < 0.5 < spread.high
    assert mean([0.0, 1.0] * 10) == spread


@pytest.mark.parametrize("level", ["hashes", "metadata"])
def test_text_does_not_arrive_at_lower_levels(level: str) -> None:
    simulation = plan("fixed_prompt", seed=1, accounts=50)
    lower = at_level(simulation, level)  # type: ignore[arg-type]
    assert lower.events.select("system", "prompt", "response").null_count().row(0) == (lower.events.height,) * 3
    assert ("content" in lower.events.columns) == (level == "hashes")
    assert lower.events["event_id"].equals(simulation.events["event_id"])


def traffic(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Events as baselines see them."""
    base = {"timestamp": START, "ip": "a", "prompt": "hello there", "template_hash": 1, "request_kind": "ordinary"}
    return pl.DataFrame([base | row for row in rows])


def test_rules_of_thumb() -> None:
    rows = [{"account_id": "busy", "timestamp": START + timedelta(seconds=at)} for at in range(150)]
    rows += [{"account_id": "calm", "timestamp": START + timedelta(hours=at), "template_hash": at} for at in range(30)]
    events = traffic(rows)
    assert dict(volume(events, pl.Series([], dtype=pl.String)).iter_rows()) == {"busy": 150.0, "calm": 1.0}
    assert dict(aegisgate(events, pl.Series([], dtype=pl.String)).iter_rows()) == {"busy": 0.5, "calm": 0.0}


def test_distances_tell_another_kind_of_prompts_apart() -> None:
    rng = np.random.default_rng(1)
    words = [f"word{number}" for number in range(400)]
    rows = [
        {
            "account_id": f"b{account}",
            "timestamp": START + timedelta(seconds=at),
            "prompt": " ".join(rng.choice(words, 12)),
        }
        for account in range(20)
        for at in range(120)
    ]
    rows += [
        {"account_id": "other", "timestamp": START + timedelta(seconds=at), "prompt": f"same task again number {at}"}
        for at in range(120)
    ]
    benign = pl.Series([f"b{account}" for account in range(20)])
    for detector in (mmd, prada):
        scores = dict(detector(traffic(rows), benign).iter_rows())
        assert max(scores, key=lambda name: scores[name]) == "other", detector.__name__


def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        Plan(("nonsense",), (1,))
    with pytest.raises(UsageError, match="rumours"):
        Plan(("quiet",), (1,), ("rumours",))  # type: ignore[arg-type]


def test_two_processes_find_what_one_finds() -> None:
    what = Plan(("campaign", "benign"), (1,), accounts=40, baselines=False, step=timedelta(hours=8))
    told: list[int] = []
    one = evaluate(what, ALL)
    two = evaluate(what, ALL, processes=2, progress=lambda done, _: told.append(done))
    assert one == two
    assert [run.scenario for run in two.runs] == ["campaign", "benign"]
    assert two.runs[0].campaigns[0].named
    assert told == [1, 2]


@pytest.fixture(scope="module")
def small() -> Evaluation:
    return evaluate(quick(), ALL)


@pytest.mark.xdist_group("small worlds")  # run once
def test_small_worlds_hold_their_floors(small: Evaluation) -> None:
    scores = {one.campaign_id: one for run in small.runs for one in run.campaigns}
    assert sum(sum(run.falsely_named_days.values()) for run in small.runs) == 0
    assert scores["fixed_prompt-1"].found
    assert scores["fixed_prompt-1"].recall >= 0.95
    # The clock stands where detection looks: after the 100th, 200th, 300th request, or at the end of a step.
    assert scores["fixed_prompt-1"].requests_before in {100, 200, 300}
    assert scores["proxy_network-1"].recall >= 0.8
    assert all(one.purity is not None and one.purity >= 0.99 for one in scores.values())


@pytest.mark.xdist_group("small worlds")
def test_reports_say_the_same_in_each_form(small: Evaluation) -> None:
    text, page, data, table = (render(small, form, written_at=START) for form in ("text", "html", "json", "markdown"))
    assert text.count(b"\n") == len(small.rows["full"])
    assert b"(1) fixed_prompt: members named" in text
    assert b"(1) fixed_prompt: members named" in page
    assert b"src=" not in page
    assert b"://" not in page
    assert b'"fixed_prompt-1"' in data
    assert b"| (1) fixed_prompt: members named | 100.0 % " in table
