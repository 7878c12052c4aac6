"""What stands beside the goals: every cohort, every detector in every scenario, recall against an adversary's cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.evaluate.intervals import Figure, mean, proportion
from pipeline.evaluate.score import RunScore

# The adaptive adversary's precautions, none to all; see pipeline/simulate/shapes.py.
COSTS: Final[Mapping[str, int]] = {**{f"adaptive_{cost}": cost for cost in range(4)}, "adaptive_4": 4, "adaptive": 4}
COMPARED_AT: Final = "recall_at_0.005"  # of benign accounts at most one in 200 accused
_WIDTH, _HEIGHT, _LEFT, _TOP = 420, 200, 40, 10
_COLOURS: Final = ("#35507a", "#a0522d", "#14642b", "#8a1f11", "#7a5c00", "#5c3c8c", "#0f6e73", "#777777")


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One kind of benign accounts over all runs; the interval is of independent account-days, which they are not."""

    cohort: str
    account_days: int
    falsely_named: Figure
    highest_score: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One detector in one scenario, mean over seeds. ``own`` is at its own threshold, ``equal`` where every detector
    accuses at most 0.5 % of the benign accounts that it was not calibrated on, with thresholds chosen in hindsight.
    """

    scenario: str
    detector: str
    own: Figure
    own_benign: Figure
    equal: Figure
    auc: Figure


@dataclass(frozen=True, slots=True)
class Line:
    """A detector's recall by cost, in SVG units."""

    detector: str
    colour: str
    points: str
    label_y: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall at equal false-positive rate against the adversary's cost; ``x`` and ``y`` ticks are place and text."""

    width: int
    height: int
    lines: Sequence[Line]
    x: Sequence[tuple[float, str]]
    y: Sequence[tuple[float, str]]


def by_cohort(runs: Sequence[RunScore]) -> tuple[CohortRow, ...]:
    """Every cohort, the most often accused first."""
    names = {name for run in runs for name in run.benign_days}
    rows = []
    for name in names:
        days = sum(run.benign_days.get(name, 0) for run in runs)
        wrong = sum(run.falsely_named_days.get(name, 0) for run in runs)
        highest = max(run.benign_scores_over.get(name, 0.0) for run in runs)
        rows.append(CohortRow(name, days, proportion(wrong, days), highest))
    return tuple(sorted(rows, key=lambda row: (-row.falsely_named.value, -row.highest_score, row.cohort)))


def compared(runs: Sequence[RunScore]) -> tuple[Compared, ...]:
    """Every detector in every scenario that plants anything, in the order in which they ran."""
    rows = []
    for scenario in dict.fromkeys(run.scenario for run in runs):
        chosen = [run.detectors for run in runs if run.scenario == scenario]
        for detector in dict.fromkeys(name for detectors in chosen for name in detectors):
            figures = [detectors[detector] for detectors in chosen if "recall" in detectors.get(detector, {})]
            if figures:
                own, benign, equal, auc = (
                    mean([figure[name] for figure in figures]) for name in ("recall", "benign", COMPARED_AT, "auc")
                )
                rows.append(Compared(scenario, detector, own, benign, equal, auc))
    return tuple(rows)


def draw_curve(rows: Sequence[Compared]) -> Curve | None:
    """None where fewer than two costs were run."""
    costs = sorted({COSTS[row.scenario] for row in rows if row.scenario in COSTS})
    if len(costs) < 2:
        return None
    wide, high = _WIDTH - _LEFT - 10, _HEIGHT - _TOP - 30
    place = {cost: _LEFT + wide * (cost - costs[0]) / (costs[-1] - costs[0]) for cost in costs}
    lines = []
    detectors = list(dict.fromkeys(row.detector for row in rows))
    for index, detector in enumerate(detectors):
        value = {
            COSTS[row.scenario]: row.equal.value for row in rows if row.detector == detector and row.scenario in COSTS
        }
        points = " ".join(f"{place[cost]:.1f},{_TOP + high * (1 - value[cost]):.1f}" for cost in sorted(value))
        lines.append(Line(detector, _COLOURS[index % len(_COLOURS)], points, _TOP + 12.0 + 16 * index))
    return Curve(
        width=_WIDTH + 110,
        height=max(_HEIGHT, _TOP + 16 * (len(detectors) + 1)),
        lines=lines,
        x=[(round(at, 1), str(cost)) for cost, at in place.items()],
        y=[(round(_TOP + high * (1 - share / 4), 1), f"{25 * share} %") for share in range(5)],
    )
