"""Settings for small worlds: one thread, as where two are run at a time, and the rules that matter."""

from __future__ import annotations

from typing import Final

from pipeline.config import RuleSettings, Settings
from pipeline.rules import load_rules

ALL: Final = Settings.model_validate({"store": {"threads": 1}})


def only(*rule_ids: str) -> Settings:
    """All other shipped rules are switched off."""
    others = load_rules(RuleSettings()).rules.keys() - set(rule_ids)
    return Settings.model_validate({"store": {"threads": 1}, "rules": {"disabled": sorted(others)}})
