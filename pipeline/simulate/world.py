"""A world that lasts days: all benign neighbours, and the campaigns of a scenario among them."""

from __future__ import annotations

import polars as pl

from pipeline.simulate.days import Days, neighbour_events
from pipeline.simulate.neighbours import neighbours
from pipeline.simulate.pool import pool_events
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.shapes import find_shape
from pipeline.simulate.traffic import Stage
from pipeline.simulate.truth import labels

RELEASE: float = 0.45  # part of the time after which a new model comes out


def world(
    scenario: Scenario, seed: int, stage: Stage
) -> tuple[list[pl.DataFrame], list[pl.DataFrame], list[pl.DataFrame]]:
    """Events, facts and truth of each cohort and campaign; no ``campaign_accounts``: each shape has its own size."""
    days = Days(stage, RELEASE * stage.duration_s)
    events, facts, truth = [], [], []
    for neighbour in neighbours(seed):
        group, frame = neighbour_events(seed, neighbour, scenario.accounts, days, rate=scenario.rate)
        events.append(frame)
        facts.append(group.facts)
        truth.append(labels(group.accounts, neighbour.name, None))
    for name in scenario.shapes:
        shape = find_shape(name)
        size = scenario.campaign_accounts if scenario.campaign_accounts and shape.accounts > 1 else shape.accounts
        groups, frame = pool_events(seed, shape, size, days)
        events.append(frame)
        for group in groups:
            facts.append(group.facts)
            truth.append(labels(group.accounts, "campaign", f"{name}-1"))
    return events, facts, truth
