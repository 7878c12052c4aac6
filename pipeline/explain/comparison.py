"""The score held against benign accounts, step by step, so that anybody can do it again by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.detect.reference import STEEPNESS, YOUNG_DAYS, Reference
from pipeline.explain.model import Beside, Comparison, Known, Naming, Signal

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


def compare(known: Known, signals: Sequence[Signal], naming: Naming | None, reference: Reference) -> Comparison | None:
    """How the e-value comes about; None: nothing was found, or by a version that had none.

    ``benign`` and the like are None where the store was judged by another reference than the one given.
    """
    if known.score is None or known.population is None or naming is None:
        return None
    population = reference.populations.get(known.population) if reference.digest == naming.reference else None
    knowledge, _, age = known.population.partition("/")
    return Comparison(
        population=known.population,
        who=f"accounts {_AGES.get(age, age)} {_KNOWLEDGE.get(knowledge, knowledge)}",
        about=reference.about if population else None,
        benign=population.accounts if population else None,
        worlds=population.worlds if population else None,
        reaching=population.reaching(known.score) if population else None,
        bound=population.bound if population else None,
        steepness=STEEPNESS,
        e_value=known.e_value,
        naming=naming,
        signals=[
            Beside(signal.rule_id, signal.strength, population.showing(signal.rule_id, signal.strength))
            for signal in signals
            if population is not None and signal.counts
        ],
    )
