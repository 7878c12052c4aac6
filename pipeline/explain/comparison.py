"""The score held against benign accounts, step by step, so that anybody can do it again by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.detect.discoveries import Tests
from pipeline.detect.reference import STEEPNESS, YOUNG_DAYS, Reference
from pipeline.explain.model import Known, Signal
from pipeline.explain.worth import Beside, Comparison, Naming

_KNOWLEDGE: Final = {
    "full": "whose prompts arrive",
    "hashes": "of whose prompts hashes arrive",
    "metadata": "of whose prompts nothing arrives",
}
_AGES: Final = {
    "young": f"younger than {YOUNG_DAYS} days",
    "any": "of any known age",
    "unknown": "of unknown age",
}
_USE: Final = " and who send 250 requests a day or more"


def compare(known: Known, signals: Sequence[Signal], naming: Naming | None, reference: Reference) -> Comparison | None:
    """How the e-value comes about; None: nothing was found, or by a version that had none.

    ``benign`` and the like are None where the store was judged by another reference than the one given.
    """
    if known.score is None or known.population is None or naming is None:
        return None
    population = reference.populations.get(known.population) if reference.digest == naming.reference else None
    knowledge, age, *use = known.population.split("/")
    heavy = bool(use)
    tests = Tests(naming.tests, naming.heavy)
    return Comparison(
        population=known.population,
        who=f"accounts {_AGES.get(age, age)} {_KNOWLEDGE.get(knowledge, knowledge)}{_USE if use else ''}",
        about=reference.about if population else None,
        benign=population.accounts if population else None,
        worlds=population.worlds if population else None,
        reaching=population.reaching(known.score) if population else None,
        bound=population.bound if population else None,
        steepness=STEEPNESS,
        e_value=known.e_value,
        heavy=heavy,
        tests=tests.senders if heavy else tests.accounts,
        named=naming.named_heavy if heavy else naming.named - naming.named_heavy,
        needed=naming.e_value_needed_heavy if heavy else naming.e_value_needed,
        naming=naming,
        signals=[
            Beside(signal.rule_id, signal.strength, population.showing(signal.rule_id, signal.strength))
            for signal in signals
            if population is not None and signal.counts
        ],
    )
