"""Labelled traffic: benign customers of a dozen kinds and, where the scenario plants one, a distillation campaign."""

from pipeline.simulate.generate import DEFAULT_START, Chunk, Simulation, plan, simulate
from pipeline.simulate.scenario import SCENARIOS, Scenario
from pipeline.simulate.truth import Truth
from pipeline.simulate.write import Written, write_simulation

__all__ = [
    "DEFAULT_START",
    "SCENARIOS",
    "Chunk",
    "Scenario",
    "Simulation",
    "Truth",
    "Written",
    "plan",
    "simulate",
    "write_simulation",
]
