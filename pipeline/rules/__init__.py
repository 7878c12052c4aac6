"""Rules as files: one SELECT and one YAML each, checked when loaded, run in the writer's transaction."""

from pipeline.rules.load import RuleSet, load_rules
from pipeline.rules.model import Rule, RuleFileError
from pipeline.rules.run import RESULT, RuleAbortedError, evaluate

__all__ = ["RESULT", "Rule", "RuleAbortedError", "RuleFileError", "RuleSet", "evaluate", "load_rules"]
