"""Settings for worlds that are run for something else than what every rule finds in them."""

from __future__ import annotations

from pipeline.config import RuleSettings, Settings
from pipeline.rules import load_rules


def only(*rule_ids: str) -> Settings:
    """All other shipped rules are switched off."""
    others = load_rules(RuleSettings()).rules.keys() - set(rule_ids)
    return Settings.model_validate({"rules": {"disabled": sorted(others)}})
