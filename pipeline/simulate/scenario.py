"""The scenarios that can be simulated and their sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from pipeline.errors import UsageError
from pipeline.simulate.shapes import SHAPES


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of what. ``accounts`` counts the benign ones; ``rate`` scales how often they ask."""

    name: str
    accounts: int
    duration: timedelta = timedelta(minutes=12)
    rate: float = 1.0
    campaign_accounts: int = 0
    duplicates: int = 0  # events sent again as a gateway's retry does, with their id
    broken: int = 0  # messages that are no event
    text: bool = True
    shapes: tuple[str, ...] = ()  # campaigns of shapes.py that are planted
    days: bool = False  # benign customers live by day and night, and a new model is released
    about: str = ""

    @property
    def metadata_only(self) -> bool:
        """Events of a fixed small size without text, for benchmarks."""
        return self.name == "load"


def _world(name: str, shapes: tuple[str, ...], about: str) -> Scenario:
    # The rate brings a person of the demo, who asks all the time, to some requests a day.
    return Scenario(
        name, 5000, timedelta(days=2), rate=0.008, duplicates=20, broken=2, shapes=shapes, days=True, about=about
    )


SCENARIOS: Final = {
    "demo": Scenario("demo", 1200, campaign_accounts=160, duplicates=60, broken=12),
    "benign": Scenario("benign", 1200),
    "campaign": Scenario("campaign", 400, campaign_accounts=240),
    "load": Scenario("load", 20_000, timedelta(minutes=10), text=False),
    "quiet": _world("quiet", (), "benign customers only"),
    **{shape.name: _world(shape.name, (shape.name,), shape.about) for shape in SHAPES},
    **{
        f"adaptive_{cost}": _world(f"adaptive_{cost}", (f"adaptive_{cost}",), f"campaign (11) at cost {cost} of 4")
        for cost in range(5)
    },
}


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return SCENARIOS[name]
    except KeyError:
        raise UsageError(f"No scenario {name!r}", next_step=f"Choose one of {', '.join(SCENARIOS)}") from None


def resize(
    scenario: Scenario,
    *,
    duration: timedelta | None = None,
    accounts: int | None = None,
    campaign_accounts: int | None = None,
    rate: float | None = None,
) -> Scenario:
    """The scenario with what is given changed."""
    changed = replace(
        scenario,
        duration=scenario.duration if duration is None else duration,
        accounts=scenario.accounts if accounts is None else accounts,
        campaign_accounts=scenario.campaign_accounts if campaign_accounts is None else campaign_accounts,
        rate=scenario.rate if rate is None else rate,
    )
    if changed.duration <= timedelta(0) or changed.accounts < 1 or changed.rate <= 0 or changed.campaign_accounts < 0:
        raise UsageError(
            f"Nothing to simulate: {changed.accounts} accounts at a rate of {changed.rate} for {changed.duration}",
            next_step="Give a duration, a number of accounts and a rate above 0",
        )
    return changed
