"""Sums of features say what the prompts themselves would: their distances, without one of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from pipeline.events.distribution import PHASES, phases
from pipeline.events.words import in_words
from pipeline.fingerprint.codec import encode_delta
from pipeline.fingerprint.distributions import SCALE, UNIT, distributions, features, spread, squared_distance
from pipeline.simulate.texts import built_in_texts
from tests.fingerprint.sample import sample
from tests.store.made import delta

POOLS = built_in_texts(1).pools
Points = npt.NDArray[np.int32]


def points(kind: str, count: int, skip: int = 0) -> Points:
    """Features of some different prompts of a kind."""
    texts = pl.Series(list(dict.fromkeys(POOLS[kind]))[skip : skip + count]).str.to_lowercase()
    return features(phases(len(texts), in_words(texts)).to_numpy())


def distance(first: Points, second: Points) -> float:
    found = squared_distance(first.sum(0).tolist(), len(first), second.sum(0).tolist(), len(second))
    assert found is not None
    return found


def test_the_distance_is_that_over_all_pairs_of_prompts() -> None:
    first, second = points("math", 13), points("code", 7)

    def mean(pairs: Any) -> float:
        return float(np.mean([int(np.dot(a.astype(np.int64), b)) / UNIT for a, b in pairs]))

    pairs = mean(combinations(first, 2)) + mean(combinations(second, 2)) - 2 * mean(product(first, second))
    # A prompt with itself counts as 1, though rounding makes it up to 0.01 less or more.
    assert distance(first, second) == pytest.approx(pairs, abs=0.01 / 7)
    assert spread(first.sum(0).tolist(), 13) == pytest.approx(1 - mean(combinations(first, 2)), abs=0.01 / 13)


def test_any_phases_are_a_point_of_length_one() -> None:
    random = np.random.default_rng(3).integers(0, 256, (2000, PHASES)).astype(np.uint8)
    same = np.repeat(np.arange(256, dtype=np.uint8), PHASES).reshape(-1, PHASES)
    lengths = np.square(features(np.concatenate((random, same))).astype(np.int64)).sum(1) / UNIT
    assert abs(lengths - 1).max() < 0.015
    assert abs(lengths[:2000] - 1).max() < 0.01
    assert abs(features(random)).max() <= SCALE


def test_the_kernel_is_near_the_gaussian_of_words_in_common() -> None:
    told = " ".join(f"w{number}" for number in range(40))
    for common in (0, 20, 40):
        others = (" ".join(f"v{seed}x{number}" for number in range(40 - common)) for seed in range(200))
        texts = pl.Series([told, *(f"{' '.join(told.split()[:common])} {other}" for other in others)])
        made = features(phases(201, in_words(texts)).to_numpy()).astype(np.int64)
        kernel = float(np.mean(made[1:] @ made[0])) / UNIT
        # |x - y|² = 2 - 2 common/40
        assert kernel == pytest.approx(np.exp(-(2 - common / 20) / 4), abs=0.05)


def test_halves_of_one_source_are_near_0_in_the_mean_and_sources_apart() -> None:
    random = np.random.default_rng(5)
    pool = points("code", 400)
    found = []
    for _ in range(200):
        drawn = pool[random.permutation(len(pool))[:60]]
        found.append(distance(drawn[:30], drawn[30:]))
    error = float(np.std(found))
    assert abs(np.mean(found)) < 4 * error / np.sqrt(len(found))
    assert min(found) < 0
    assert distance(pool[:30], points("math", 30)) > 5 * error


def test_a_part_is_taken_out_by_subtraction() -> None:
    whole, part = points("math", 50), points("math", 20)
    rest = (whole.sum(0) - part.sum(0)).tolist()
    assert rest == points("math", 30, skip=20).sum(0).tolist()


def test_fewer_than_two_prompts_have_no_distance() -> None:
    one, many = points("math", 1).sum(0).tolist(), points("code", 9).sum(0).tolist()
    assert squared_distance(one, 1, many, 9) is None
    assert squared_distance(many, 9, [0] * len(many), 0) is None
    assert spread(one, 1) is None
    same = points("math", 1).repeat(9, axis=0)
    assert spread(same.sum(0).tolist(), 9) == pytest.approx(0, abs=0.01)


def test_without_text_there_is_nothing_not_even_a_message() -> None:
    events = sample(50).with_columns(pl.lit(None, sample(1).schema["distribution"]).alias("distribution"))
    assert distributions(events).is_empty()
    for frame, messages in ((distributions(events), 0), (distributions(sample(50)), 1)):
        parts = encode_delta(replace(delta(0, 1), distributions=frame))
        assert sum(b'"distributions"' in part.header for part in parts) == messages
    told = sample(40, nulls=0.5)
    assert distributions(told)["events"].sum() == 40 - told["distribution"].null_count()


def test_a_byte_that_is_missing_stops_nothing() -> None:
    events = sample(2, nulls=0, accounts=1)
    damaged = events.with_columns(pl.Series("distribution", [[None] * PHASES] * 2, dtype=events.schema["distribution"]))
    assert distributions(damaged)["prompt_sum"][0].to_list() == [2 * SCALE] * PHASES + [0] * PHASES
