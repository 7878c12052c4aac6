"""How often detection is right and how often it is wrong, on labelled traffic through the real pipeline."""

from pipeline.evaluate.report import render
from pipeline.evaluate.run import Plan, evaluate
from pipeline.evaluate.summary import Evaluation

__all__ = ["Evaluation", "Plan", "evaluate", "render"]
