"""Labelled traffic: benign customers of a dozen kinds and, where the scenario plants one, a distillation campaign."""

from pipeline.simulate.generate import DEFAULT_START, Chunk, Simulation, plan, simulate
from pipeline.simulate.scenario import SCENARIOS, Scenario
from pipeline.simulate.truth import Truth
from pipeline.simulate.write import Beside, send_simulation, write_simulation, write_truth

__all__ = [
    "DEFAULT_START",
    "SCENARIOS",
    "Beside",
    "Chunk",
    "Scenario",
    "Simulation",
    "Truth",
    "plan",
    "send_simulation",
    "simulate",
    "write_simulation",
    "write_truth",
]
