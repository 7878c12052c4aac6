"""What a provider knows of its traffic: everything, hashes that a gateway made, or metadata only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

import polars as pl

from pipeline.evaluate.told import spelt
from pipeline.events.features import HASHES, text_features
from pipeline.events.native import NATIVE
from pipeline.simulate import Simulation

Knowledge = Literal["full", "hashes", "metadata"]
LEVELS: Final[Mapping[Knowledge, str]] = {
    "full": "prompts arrive, and become features",
    "hashes": "a gateway sends hashes of system prompt, template and prompt, and no other feature of the text",
    "metadata": "no text and nothing made of it",
}
_TEXT: Final = ("system", "prompt", "response")


def at_level(simulation: Simulation, level: Knowledge) -> Simulation:
    """The same traffic with what arrives at that level."""
    if level == "full":
        return simulation
    without = simulation.events.with_columns(pl.lit(None, pl.String).alias(name) for name in _TEXT)
    if level == "hashes":
        without = without.with_columns(_hashes(simulation.events))
    return replace(simulation, events=without)


def _hashes(events: pl.DataFrame) -> pl.Series:
    wire = events.select(
        (pl.col(name) if name in _TEXT else pl.lit(None, pl.String)).alias(name) for name in NATIVE.names()
    )
    features, _ = text_features(wire)
    return pl.DataFrame({name: spelt(features[name]) for name in HASHES}).to_struct("content")
