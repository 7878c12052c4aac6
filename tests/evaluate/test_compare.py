"""Detectors side by side: how they are judged, and the baselines against values counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.evaluate import render
from pipeline.evaluate.baselines import BASELINES, SEEN, compare, judged, seat, split
from pipeline.evaluate.glasswally import WEIGHTS, glasswally
from pipeline.evaluate.score import CampaignScore, RunScore
from pipeline.evaluate.summary import summarise, summarise_own
from pipeline.evaluate.tables import by_cohort, compared, draw_curve

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOBODY = pl.Series([], dtype=pl.String)
SCHEMA = {
    **dict.fromkeys(SEEN, pl.String()),
    "timestamp": pl.Datetime("us", "UTC"),
    **dict.fromkeys(("input_tokens", "output_tokens", "max_tokens"), pl.Int64()),
    **dict.fromkeys(("system_hash", "template_hash"), pl.UInt64()),
}


def events(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([{"model": "m", "timestamp": START, **row} for row in rows], schema=SCHEMA)


def truth(planted: list[str], benign: list[str], silent: tuple[str, ...] = ()) -> pl.DataFrame:
    names = [*planted, *benign, *silent]
    return pl.DataFrame(
        {
            "account_id": names,
            "campaign_id": ["p-1"] * len(planted) + [None] * (len(benign) + len(silent)),
            "events": [1] * (len(planted) + len(benign)) + [0] * len(silent),
        },
        schema={"account_id": pl.String, "campaign_id": pl.String, "events": pl.Int64},
    )


def scores(**found: float) -> pl.DataFrame:
    return pl.DataFrame({"account_id": list(found), "score": list(found.values())})


def test_detectors_are_judged_at_equal_false_positive_rates() -> None:
    # Every second benign account is for calibration: x1, x3, …, x39 judge.
    true = truth(["a", "b", "c", "d"], [f"x{n}" for n in range(40)], ("silent",))
    assert split(true)[1].to_list() == [f"x{n}" for n in range(1, 40, 2)]
    found = judged(scores(a=0.9, b=0.5, c=0.3, x1=0.6, x3=0.4, x0=0.95, silent=1.0), 0.45, true)
    assert found["benign"] == pytest.approx(1 / 20)
    assert found["recall"] == pytest.approx(2 / 4)
    # None of 20 may be above: 0.6. One of 20: 0.4.
    assert (found["recall_at_0.0005"], found["recall_at_0.005"], found["recall_at_0.05"]) == (0.25, 0.25, 0.5)
    # a is above 20, b above 19, c above 18; d, with no score, ties with the 18 that have none.
    assert found["auc"] == pytest.approx((20 + 19 + 18 + 9) / 80)


def test_who_scores_nobody_finds_nobody() -> None:
    found = judged(pl.DataFrame(schema={"account_id": pl.String, "score": pl.Float64}), 0.5, truth(["a"], ["x", "y"]))
    assert found == {
        "benign": 0.0,
        "recall": 0.0,
        "auc": 0.5,
        "recall_at_0.0005": 0.0,
        "recall_at_0.005": 0.0,
        "recall_at_0.05": 0.0,
    }
    assert judged(scores(x=1.0, y=1.0), 0.5, truth([], ["x", "y"])) == {"benign": 1.0}


def test_similar_pairs_are_counted() -> None:
    rng = np.random.default_rng(3)
    words = [f"word{number}" for number in range(500)]
    rows: list[dict[str, object]] = [
        {"account_id": f"x{account}", "prompt": " ".join(rng.choice(words, 15))}
        for account in range(40)
        for _ in range(12)
    ]
    rows += [{"account_id": "same", "prompt": "the very same task once more"} for _ in range(12)]
    found = dict(seat(events(*rows), pl.Series([f"x{account}" for account in range(40)])).iter_rows())
    assert found["same"] == pytest.approx(12 * 11 / 2 / 50)
    assert max(value for name, value in found.items() if name != "same") < 0.2
    assert seat(events(*rows), NOBODY).is_empty()


def fused(*rows: dict[str, object]) -> dict[str, float]:
    return dict(glasswally(events(*rows), NOBODY).iter_rows())


def test_glasswally_a_script_by_its_pace() -> None:
    # 100 an hour: 0.25; even gaps: 0.30; equal sizes: 0.15; sure, for 50 and more in an hour.
    rows: list[dict[str, object]] = [
        {"account_id": "v", "timestamp": START + timedelta(seconds=30 * n), "input_tokens": 10, "output_tokens": 90}
        for n in range(100)
    ]
    assert fused(*rows)["v"] == pytest.approx(0.70 * WEIGHTS["velocity"])


def test_glasswally_a_request_for_reasoning() -> None:
    rows = [
        {"account_id": "v", "timestamp": START + n * DAY, "request_kind": "reasoning_elicitation"} for n in range(3)
    ]
    assert fused(*rows)["v"] == pytest.approx(0.40 * (0.4 + 0.6 * 0.9) * WEIGHTS["cot"])


def test_glasswally_one_system_prompt_and_the_largest_answers() -> None:
    prompt = [{"account_id": "v", "timestamp": START + n * DAY, "system_hash": 7} for n in range(5)]
    assert fused(*prompt)["v"] == pytest.approx(0.35 * (0.4 + 0.6 * 0.75) * WEIGHTS["role_preamble"])
    limit = [{"account_id": "v", "timestamp": START + n * DAY, "max_tokens": 4096} for n in range(6)]
    assert fused(*limit)["v"] == pytest.approx(0.40 * (0.4 + 0.6 * 0.82) * WEIGHTS["token_budget"])


def test_glasswally_a_change_of_model() -> None:
    rows = [{"account_id": "v", "timestamp": START + n * DAY, "model": model} for n, model in enumerate("aab")]
    assert fused(*rows)["v"] == pytest.approx(0.20 * (0.4 + 0.6 * 0.85) * WEIGHTS["pivot"])


@pytest.mark.parametrize(("members", "score"), [(2, 0.0), (3, 0.12 * 0.4 + 0.07), (5, 0.20 * 0.4 + 0.07 + 0.15)])
def test_glasswally_a_cluster_by_payment(members: int, score: float) -> None:
    rows = [{"account_id": f"v{n}", "timestamp": START + n * DAY, "payment_hash": "card"} for n in range(members)]
    found = fused(*rows, {"account_id": "alone", "payment_hash": "other", "timestamp": START - DAY})
    wanted = score * (0.4 + 0.6 * members / 100) * WEIGHTS["hydra"] + (0.08 if members >= 5 else 0.0)
    assert [found[f"v{n}"] for n in range(members)] == pytest.approx([wanted] * members)
    assert found["alone"] == 0


def test_glasswally_clusters_go_on_from_thing_to_thing() -> None:
    # a to b by payment, b to c by network, c to d by client: each alone would be too few.
    rows: list[dict[str, object]] = [
        {"account_id": "a", "payment_hash": "card"},
        {"account_id": "b", "payment_hash": "card", "network": "10.0.0.0/24"},
        {"account_id": "c", "network": "10.0.0.0/24", "client": "tool"},
        {"account_id": "d", "client": "tool"},
    ]
    dated = [{**row, "timestamp": START + n * DAY} for n, row in enumerate(rows)]
    found = fused(*dated)
    assert len(set(found.values())) == 1
    assert min(found.values()) > 0


def test_every_baseline_does_without_text_and_without_anybody() -> None:
    rows: list[dict[str, object]] = [
        {"account_id": f"x{n % 9}", "timestamp": START + timedelta(seconds=n)} for n in range(90)
    ]
    for baseline in BASELINES:
        found = compare(baseline, events(*rows), truth(["x0"], [f"x{n}" for n in range(1, 9)]))
        assert 0 <= found["recall"] <= 1
        assert compare(baseline, events(*rows).clear(), truth([], [])) == {"benign": 0.0}


def run(scenario: str, seed: int, **recall: float) -> RunScore:
    campaign = CampaignScore(f"{scenario}-1", 10, 9, True, 1.0, 100, 50)
    detectors = {
        name: {"recall": value, "benign": 0.01, "auc": 0.9, "recall_at_0.005": value / 2}
        for name, value in recall.items()
    }
    return RunScore(scenario, "full", seed, (campaign,), {"chat": 90, "tool": 10}, {"tool": seed}, 9, 0, {}, detectors)


def test_detectors_stand_beside_each_other_and_against_cost() -> None:
    runs = [
        run("adaptive_0", 1, ours=1.0, theirs=0.8),
        run("adaptive_0", 2, ours=0.8, theirs=0.8),
        run("adaptive_2", 1, ours=0.6, theirs=0.0),
        run("adaptive", 1, ours=0.4, theirs=0.0),
    ]
    rows = compared(runs)
    assert [(row.scenario, row.detector) for row in rows[:2]] == [("adaptive_0", "ours"), ("adaptive_0", "theirs")]
    assert rows[0].own.value == pytest.approx(0.9)
    assert rows[0].equal.value == pytest.approx(0.45)
    curve = draw_curve(rows)
    assert curve is not None
    assert [text for _, text in curve.x] == ["0", "2", "4"]
    # Twice as far down for half the recall, from left to right.
    places = [tuple(map(float, point.split(","))) for point in curve.lines[0].points.split()]
    assert [x for x, _ in places] == [40.0, 225.0, 410.0]
    assert [round(y) for _, y in places] == [98, 122, 138]
    assert draw_curve([row for row in rows if row.scenario == "adaptive_0"]) is None


def test_the_cohort_that_is_accused_most_stands_first() -> None:
    rows = by_cohort([run("grading", 1), run("grading", 2)])
    assert [(row.cohort, row.account_days, row.falsely_named.value) for row in rows] == [
        ("tool", 20, 0.15),
        ("chat", 180, 0.0),
    ]


def test_the_page_shows_tables_and_the_curve_and_loads_nothing() -> None:
    runs = [run(f"adaptive_{cost}", 1, ours=1.0, **{"<theirs>": 0.5}) for cost in range(4)]
    page = render(summarise(runs), "html", written_at=START).decode()
    assert page.count("<polyline") == 2
    assert "&lt;theirs&gt;" in page
    assert "<theirs>" not in page
    assert "Benign accounts by kind" in page
    assert "://" not in page
    assert "src=" not in page


def test_a_name_ends_no_cell_of_the_page_in_markdown() -> None:
    runs = [run(name, 1, ours=1.0, **{"<their|s>": 0.5}) for name in ("grading", "grad|ing")]
    page = render(summarise(runs), "markdown", written_at=START).decode()
    tables = [part.splitlines() for part in page.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        cells = {line.replace("\\|", "").count("|") for line in lines}
        assert len(cells) == 1, lines
    assert "&lt;their\\|s&gt;" in page
    assert "<their" not in page


def test_own_account_days_count_once() -> None:
    alone = RunScore("nothing", "full", 0, (), {"your accounts": 100}, {}, 0, 0)
    result = summarise_own([alone, run("grading", 1, ours=1.0), run("grading", 2, ours=1.0)])
    rows = {row.name: row for row in result.rows["full"]}
    assert rows["benign account-days falsely named"].figure.value == 0
    assert rows["benign account-days falsely named, beside a campaign"].figure.value == pytest.approx(0.015)
    assert rows["benign account-days falsely named, beside a campaign"].met is False
    assert [(row.cohort, row.account_days) for row in result.cohorts["full"]] == [("your accounts", 100)]
