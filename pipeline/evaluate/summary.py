"""From the scores of many runs to the figures that detection is held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluate.intervals import Figure, mean, proportion
from pipeline.evaluate.score import OURS, CampaignScore, RunScore
from pipeline.evaluate.tables import CohortRow, Compared, by_cohort, compared
from pipeline.simulate.shapes import SHAPES

_NUMBERS = {shape.name: shape.number for shape in SHAPES}
# (numbers of shapes, least member recall, least purity): what is asked of each shape, with everything known.
_ASKED: tuple[tuple[frozenset[int], float, float], ...] = (
    (frozenset({1, 3, 4, 5, 6, 8}), 0.95, 0.99),
    (frozenset({2}), 0.80, 0.98),
    (frozenset({7, 9, 10, 12}), 0.90, 0.98),
)
_MOST_REQUESTS = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with its goal; ``met`` is null where there is no goal."""

    name: str
    figure: Figure
    goal: str
    met: bool | None
    percent: bool = True


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All runs, and what follows from them, by level of knowledge."""

    runs: tuple[RunScore, ...]
    rows: dict[str, tuple[Row, ...]]
    cohorts: dict[str, tuple[CohortRow, ...]]
    compared: dict[str, tuple[Compared, ...]]

    @property
    def missed(self) -> tuple[str, ...]:
        """Goals that were missed with everything known."""
        return tuple(row.name for row in self.rows.get("full", ()) if row.met is False)


def summarise(runs: Sequence[RunScore]) -> Evaluation:
    """Figures of each level of knowledge; goals stand only where everything is known."""
    names = sorted({run.knowledge for run in runs}, key=("full", "hashes", "metadata").index)
    levels = {level: [run for run in runs if run.knowledge == level] for level in names}
    return Evaluation(
        tuple(runs),
        {level: tuple(_rows(chosen, level)) for level, chosen in levels.items()},
        {level: by_cohort(chosen) for level, chosen in levels.items()},
        {level: compared(chosen) for level, chosen in levels.items()},
    )


def summarise_own(runs: Sequence[RunScore]) -> Evaluation:
    """Figures of one's own traffic, the first run with nothing planted: its account-days are in every run and count
    once. Whoever is named only beside a campaign is told of in a row of his own.
    """
    alone, beside = runs[0], runs[1:]
    rows = _innocent([alone], judged=True)
    if beside:
        wrong = mean([sum(run.falsely_named_days.values()) / max(1, sum(run.benign_days.values())) for run in beside])
        met = _at_most(wrong, 0.0005, judged=True)
        rows.append(Row("benign account-days falsely named, beside a campaign", wrong, "≤ 0.05 %", met))
    return Evaluation(
        tuple(runs),
        {"full": (*rows, *_campaigns(beside, judged=True))},
        {"full": by_cohort([alone])},
        {"full": compared(beside)},
    )


def _rows(runs: Sequence[RunScore], level: str) -> list[Row]:
    judged = level == "full"
    return [*_innocent(runs, judged=judged), *_campaigns(runs, judged=judged), *_others(runs)]


def _campaigns(runs: Sequence[RunScore], *, judged: bool) -> list[Row]:
    rows: list[Row] = []
    names = [shape.name for shape in SHAPES] + [f"adaptive_{cost}" for cost in range(5)]
    for name in names:
        scores = [score for run in runs for score in run.campaigns if score.campaign_id == f"{name}-1"]
        if scores:
            rows += _of_shape(name, scores, judged=judged)
    return rows


def _others(runs: Sequence[RunScore]) -> list[Row]:
    rows = []
    for detector in sorted({detector for run in runs for detector in run.detectors if detector != OURS}):
        recall = [run.detectors[detector]["recall"] for run in runs if "recall" in run.detectors.get(detector, {})]
        benign = [run.detectors[detector]["benign"] for run in runs if detector in run.detectors]
        if recall:
            rows.append(Row(f"{detector}: member recall, all shapes", mean(recall), "", None))
        rows.append(Row(f"{detector}: benign accounts accused", mean(benign), "", None))
    return rows


def _innocent(runs: Sequence[RunScore], *, judged: bool) -> list[Row]:
    days: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for run in runs:
        days.update(run.benign_days)
        wrong.update(run.falsely_named_days)
    everyone = proportion(wrong.total(), days.total())
    rows = [Row("benign account-days falsely named", everyone, "≤ 0.05 %", _at_most(everyone, 0.0005, judged=judged))]
    if days:
        worst = max(days, key=lambda name: (wrong[name] / days[name], days[name]))
        share = proportion(wrong[worst], days[worst])
        met = _at_most(share, 0.005, judged=judged)
        rows.append(Row(f"benign account-days falsely named, worst cohort ({worst})", share, "≤ 0.5 %", met))
    false = mean([run.false_discoveries for run in runs])
    rows.append(Row("named accounts that are benign", false, "≤ 1 %", _at_most(false, 0.01, judged=judged)))
    return rows


def _of_shape(name: str, scores: Sequence[CampaignScore], *, judged: bool) -> list[Row]:
    number = _NUMBERS.get(name, 11)
    label = f"({number}) {name}"
    found = proportion(sum(score.found for score in scores), len(scores))
    recall = mean([score.recall for score in scores])
    purity = mean([score.purity for score in scores if score.purity is not None])
    asked = next(((least, pure) for numbers, least, pure in _ASKED if number in numbers), None)
    rows = [
        Row(f"{label}: campaigns found", found, "100 %" if asked else "", _at_least(found, 1.0, judged and bool(asked)))
    ]
    least, pure = asked or (0.0, 0.0)
    goal = f"≥ {100 * least:.0f} %" if asked else ""
    rows.append(Row(f"{label}: members named", recall, goal, _at_least(recall, least, judged and bool(asked))))
    if any(score.purity is not None for score in scores):
        goal = f"≥ {100 * pure:.0f} %" if asked else ""
        rows.append(Row(f"{label}: purity", purity, goal, _at_least(purity, pure, judged and bool(asked))))
    before = [float(score.requests_before) for score in scores if score.requests_before is not None]
    if before:
        figure = mean(before)
        goal = f"≤ {_MOST_REQUESTS}" if number == 1 else ""
        met = _at_most(figure, _MOST_REQUESTS, judged=judged and number == 1)
        rows.append(Row(f"{label}: its requests before the first alert", figure, goal, met, percent=False))
    return rows


def _at_most(figure: Figure, most: float, *, judged: bool) -> bool | None:
    return figure.value <= most if judged else None


def _at_least(figure: Figure, least: float, judged: bool) -> bool | None:
    return figure.value >= least if judged else None
