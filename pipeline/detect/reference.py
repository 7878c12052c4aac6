"""What a score is compared with before anybody is named: how high benign accounts of the same population score.

``F = (1 - score) ** -6`` grows as evidence does. Over benign accounts its mean was measured, and ``bound`` lies above
it; so ``F / bound`` is an e-value: a number whose mean over accounts with nothing to hide is at most 1 (Vovk and Wang,
"E-values: calibration, combination and applications", 2021). docs/method.md has the derivation, and where it fails.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import polars as pl

from pipeline.errors import ConfigError

VERSION: Final = 1
STEEPNESS: Final = 6
YOUNG_DAYS: Final = 30
HEAVY: Final = "/heavy"
SHIPPED: Final = Path(__file__).with_name("reference.json")
_LEAST_LEFT: Final = 1e-4  # what any score leaves at least, so that F stays a number

Knowledge = Literal["full", "hashes", "metadata"]
Count = Annotated[int, msgspec.Meta(ge=0)]
# How many accounts score that much, zero left out; rounded up to thousandths, ascending.
Scores = list[tuple[Annotated[float, msgspec.Meta(gt=0, le=1)], Count]]


class Population(msgspec.Struct, frozen=True):
    """Benign accounts of one kind. ``accounts``: how many were observed, in how many ``worlds``.

    ``bound``: at least 1, above the mean of F over them. ``rules``: of each rule, the strengths it gave them.
    """

    accounts: Annotated[int, msgspec.Meta(ge=1)]
    worlds: Annotated[int, msgspec.Meta(ge=1)]
    bound: Annotated[float, msgspec.Meta(ge=1)]
    scores: Scores
    rules: dict[str, Scores]

    def reaching(self, score: float) -> int:
        """How many of these accounts score that much or more."""
        return _reaching(self.scores, score)

    def showing(self, rule_id: str, strength: float) -> int:
        """How many of these accounts have a signal of that rule, that strong or stronger."""
        return _reaching(self.rules.get(rule_id, []), strength)


class Reference(msgspec.Struct, frozen=True):
    """Populations by name: ``knowledge/age``, and ``knowledge/age/heavy`` of those of them that send much.

    ``rules``: the version of each rule that was measured.
    """

    version: int
    about: str
    rules: dict[str, str]
    populations: dict[str, Population]

    @property
    def digest(self) -> str:
        """What tells one reference from another: the first digits of a SHA-256."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]

    def differs(self, versions: Mapping[str, str]) -> list[str]:
        """Rules that run and were not measured as they are now."""
        return sorted(rule_id for rule_id, version in versions.items() if self.rules.get(rule_id) != version)


def load_reference(path: Path | None) -> Reference:
    """The shipped reference, or one of the user's own.

    Raises:
        ConfigError: there is none at that path, or it is of another kind or version.
    """
    file = path or SHIPPED
    step = "measure one: stillwatch calibrate --out FILE; or leave rules.reference out for the shipped one"
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Reference)
    except OSError as error:
        raise ConfigError(f"rules.reference: {file}: {error.strerror or error}", next_step=step) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"rules.reference: {file} is no reference: {error}", next_step=step) from error
    if found.version != VERSION:
        raise ConfigError(f"rules.reference: {file} has version {found.version}, not {VERSION}", next_step=step)
    return found


def write_reference(reference: Reference, path: Path) -> None:
    """A field or population a line, in order: what changed shows in a diff."""
    populations = ",\n".join(
        f"  {_json(name)}: {_json(population)}" for name, population in sorted(reference.populations.items())
    )
    head = "".join(
        f' "{name}": {_json(value)},\n'
        for name, value in (("version", reference.version), ("about", reference.about), ("rules", reference.rules))
    )
    path.write_text(f'{{\n{head} "populations": {{\n{populations}\n }}\n}}\n', encoding="utf-8")


def grown(score: pl.Expr) -> pl.Expr:
    """F: how much a score has grown; 1 where nothing was seen."""
    return pl.max_horizontal(1 - score, pl.lit(_LEAST_LEFT)).pow(-STEEPNESS)


def compared_with(reference: Reference) -> pl.Expr:
    """``population`` of each row of (population, heavy): who sends much is held against others that do, if measured."""
    heavy = pl.col("population") + HEAVY
    measured = heavy.is_in(list(reference.populations))
    return pl.when(pl.col("heavy") & measured).then(heavy).otherwise("population").alias("population")


def e_values(frame: pl.DataFrame, reference: Reference) -> pl.Series:
    """``e_value`` for each row of (score, population); null where the population was not measured."""
    bounds = pl.DataFrame(
        {
            "population": list(reference.populations),
            "bound": [population.bound for population in reference.populations.values()],
        },
        schema={"population": pl.String, "bound": pl.Float64},
    )
    joined = frame.select("score", "population").join(bounds, on="population", how="left", maintain_order="left")
    return joined.select((grown(pl.col("score")) / pl.col("bound")).alias("e_value"))["e_value"]


def rounded_up(values: pl.Series) -> Scores:
    """How often each value above 0 occurs, in thousandths, ascending."""
    frame = values.filter(values > 0).to_frame("value")
    counts = frame.select((pl.col("value") * 1000).ceil().alias("value")).group_by("value").len().sort("value")
    return [(min(1.0, value / 1000), count) for value, count in counts.iter_rows()]


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _reaching(scores: Scores, value: float) -> int:
    at = bisect_left(scores, value, key=lambda item: item[0])
    return sum(count for _, count in scores[at:])
