"""What others do, on the same traffic: a score for each account and the threshold from which it is accused.

None of them has campaigns, and only Glasswally's looks at facts about accounts: it clusters by payment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.evaluate.glasswally import glasswally
from pipeline.events.template import stable_hash

# What detectors see of an event: columns of EVENTS, the prompt, and facts about its account.
SEEN: Final = (
    "account_id", "timestamp", "model", "client", "network", "ip", "country", "input_tokens", "output_tokens",
    "max_tokens", "system_hash", "template_hash", "request_kind", "prompt", "payment_hash", "organisation",
)  # fmt: skip
RATES: Final = (0.0005, 0.005, 0.05)  # of benign accounts accused, at which recalls are compared
_PAIRS: Final = 50  # similar pairs of an account that SEAT lets pass
_WINDOW: Final = 100  # queries a window of the distance tests
_HASHED: Final = 256
_FEATURES: Final = 128
_FALSE_WINDOWS: Final = 0.003  # of benign windows that the published MMD accuses


@dataclass(frozen=True, slots=True)
class Baseline:
    """A detector to compare with.

    ``score`` takes events (SEEN) and benign account ids to calibrate on, and gives account_id, score; whom it does not
    name has none.
    """

    name: str
    source: str
    threshold: float
    score: Callable[[pl.DataFrame, pl.Series], pl.DataFrame]


def volume(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """Most requests in an hour. AegisGate's and others' rule of thumb: more than 100 prompts an hour and key."""
    del benign
    hours = events.group_by("account_id", pl.col("timestamp").dt.truncate("1h").alias("hour")).len()
    return hours.group_by("account_id").agg(pl.col("len").max().cast(pl.Float64).alias("score"))


def aegisgate(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """Weighted sum of four rules, as AegisGate describes them: over 100 prompts an hour; top template over 0.3 of more
    than 20 prompts; reasoning elicitation over 0.6; more than 5 addresses. Their weights are not published: equal here.
    """
    rate = volume(events, benign).rename({"score": "rate"})
    shares = (
        events.group_by("account_id", "template_hash")
        .len()
        .drop_nulls("template_hash")
        .group_by("account_id")
        .agg((pl.col("len").max() / pl.col("len").sum()).alias("top"), pl.col("len").sum().alias("prompts"))
    )
    asked = events.group_by("account_id").agg(
        (pl.col("request_kind") == "reasoning_elicitation").mean().alias("asked"), pl.col("ip").n_unique().alias("ips")
    )
    joined = asked.join(rate, on="account_id").join(shares, on="account_id", how="left")
    fired = (
        (pl.col("rate") > 100).cast(pl.Float64)
        + ((pl.col("top") > 0.3) & (pl.col("prompts") > 20)).fill_null(value=False).cast(pl.Float64)
        + (pl.col("asked") > 0.6).fill_null(value=False).cast(pl.Float64)
        + (pl.col("ips") > 5).cast(pl.Float64)
    )
    return joined.select("account_id", (fired / 4).alias("score"))


def mmd(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """Largest distance of a window of 100 queries to the benign mean (arXiv 2606.05725; Gretton et al. 2012), in units
    of the 99.7 % quantile of benign windows. Their sentence embedding is replaced by hashed words, a Gaussian kernel by
    random Fourier features (Rahimi and Recht 2007).
    """
    return _windows(events, benign, _mmd)


def mahalanobis(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """Largest Mahalanobis distance of a window's mean from benign windows' means, in units of their 99.7 % quantile."""
    return _windows(events, benign, _mahalanobis)


def prada(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """PRADA (Juuti et al. 2019, arXiv 1805.02628): the least distances of new queries to earlier ones of an account are
    normal when it is benign. Score: 1 - W of Shapiro and Francia over up to 200 queries, in units of the 99.7 %
    quantile of benign accounts.
    """
    embedded, owner = _embedded(events)
    scores: dict[str, float] = {}
    for account, rows in _rows_of(owner, least=30):
        vectors = embedded[rows[:200]]
        distance = 1 - vectors @ vectors.T
        least = np.where(np.tri(len(rows[:200]), k=-1, dtype=bool), distance, np.inf)[1:].min(axis=1)
        scores[account] = _not_normal(least)
    return _calibrated(scores, benign)


def seat(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """SEAT (Zhang, Chen and Wagner 2021, doi 10.1145/3474369.3486863): pairs of an account's queries that are nearer
    than a threshold, as an extraction's variations are; more than 50 accuse.

    Score: pairs among the first 200 queries, in units of 50. The threshold is the similarity that one of a thousand
    pairs of benign queries exceeds; hashed words stand in for their encoder trained on adversarial examples.
    """
    embedded, owner = _embedded(events)
    known = np.flatnonzero(owner.is_in(benign.implode()).to_numpy())
    if len(known) < 2:
        return pl.DataFrame(schema={"account_id": pl.String(), "score": pl.Float64()})
    rng = np.random.default_rng(5)
    first, second = (rng.choice(known, 20_000) for _ in range(2))
    apart = first != second
    alike = float(np.quantile(np.einsum("ij,ij->i", embedded[first[apart]], embedded[second[apart]]), 0.999))
    # Of two texts with the same words rounding says now more, now less than 1.
    alike = min(alike, 1 - 1e-9)
    scores = {
        account: float(np.triu(embedded[rows[:200]] @ embedded[rows[:200]].T > alike, k=1).sum() / _PAIRS)
        for account, rows in _rows_of(owner, least=2)
    }
    return pl.DataFrame(
        {"account_id": list(scores), "score": list(scores.values())},
        schema={"account_id": pl.String(), "score": pl.Float64()},
    )


def _not_normal(values: npt.NDArray[np.float64]) -> float:
    """1 - W' of Shapiro and Francia (1972): squared correlation of the sorted values with normal quantiles."""
    if values.std() < 1e-12:
        return 1.0
    ranks: npt.NDArray[np.float64] = (np.arange(1, len(values) + 1, dtype=np.float64) - 0.375) / (len(values) + 0.25)
    return float(1 - np.corrcoef(np.sort(values), _normal_quantile(ranks))[0, 1] ** 2)


def _normal_quantile(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tukey's lambda approximation of the normal quantile; what counts is a correlation."""
    return np.asarray((share**0.135 - (1 - share) ** 0.135) / 0.1975)


def _embedded(events: pl.DataFrame) -> tuple[npt.NDArray[np.float64], pl.Series]:
    """Hashed words of each prompt, of length 1; and who sent it, in order of time."""
    told = events.drop_nulls("prompt").sort("timestamp")
    words = (
        told.select(pl.col("prompt").str.to_lowercase().str.slice(0, 2000).str.split(" "))
        .with_row_index("row")
        .explode("prompt")
        .with_columns((stable_hash("prompt") % _HASHED).alias("place"))
    )
    counts = np.bincount(
        words["row"].to_numpy().astype(np.int64) * _HASHED + words["place"].to_numpy().astype(np.int64),
        minlength=len(told) * _HASHED,
    ).reshape(len(told), _HASHED)
    vectors = np.sqrt(counts)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), told["account_id"]


def _rows_of(owner: pl.Series, *, least: int) -> list[tuple[str, npt.NDArray[np.int64]]]:
    grouped = owner.to_frame("account").with_row_index("row").group_by("account", maintain_order=True).agg("row")
    return [(str(name), np.asarray(rows, dtype=np.int64)) for name, rows in grouped.iter_rows() if len(rows) >= least]


def _windows(
    events: pl.DataFrame,
    benign: pl.Series,
    distance: Callable[[npt.NDArray[np.float64], npt.NDArray[np.bool_]], npt.NDArray[np.float64]],
) -> pl.DataFrame:
    embedded, owner = _embedded(events)
    rng = np.random.default_rng(11)
    projection = rng.normal(0, 2.0, (_HASHED, _FEATURES))
    features = np.sqrt(2 / _FEATURES) * np.cos(embedded @ projection + rng.uniform(0, 2 * np.pi, _FEATURES))
    accounts, means = [], []
    for account, rows in _rows_of(owner, least=_WINDOW):
        for at in range(0, len(rows) - _WINDOW + 1, _WINDOW):
            accounts.append(account)
            means.append(features[rows[at : at + _WINDOW]].mean(axis=0))
    if not means:
        return pl.DataFrame(schema={"account_id": pl.String(), "score": pl.Float64()})
    innocent = np.isin(np.array(accounts), benign.to_numpy())
    far = distance(np.array(means), innocent)
    best = pl.DataFrame({"account": accounts, "far": far}).group_by("account").agg(pl.col("far").max())
    limit = float(np.quantile(far[innocent], 1 - _FALSE_WINDOWS)) if innocent.any() else 1.0
    return best.select(pl.col("account").alias("account_id"), (pl.col("far") / max(limit, 1e-12)).alias("score"))


def _mmd(means: npt.NDArray[np.float64], innocent: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    centre = means[innocent].mean(axis=0) if innocent.any() else means.mean(axis=0)
    return np.asarray(np.linalg.norm(means - centre, axis=1))


def _mahalanobis(means: npt.NDArray[np.float64], innocent: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    base = means[innocent] if innocent.any() else means
    precision = np.linalg.inv(np.cov(base, rowvar=False) + 1e-4 * np.eye(base.shape[1]))
    apart = means - base.mean(axis=0)
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", apart, precision, apart)))


def _calibrated(scores: Mapping[str, float], benign: pl.Series) -> pl.DataFrame:
    innocent = set(benign)
    base = [value for account, value in scores.items() if account in innocent]
    limit = float(np.quantile(base, 1 - _FALSE_WINDOWS)) if base else 1.0
    return pl.DataFrame(
        {"account_id": list(scores), "score": [value / max(limit, 1e-12) for value in scores.values()]},
        schema={"account_id": pl.String(), "score": pl.Float64()},
    )


BASELINES: Final = (
    Baseline("volume", "more than 100 prompts an hour", 100.0, volume),
    Baseline("AegisGate", "four rules, alert at a weighted sum of 0.6", 0.6, aegisgate),
    Baseline("PRADA", "arXiv 1805.02628, calibrated on half of the benign accounts", 1.0, prada),
    Baseline("SEAT", "doi 10.1145/3474369.3486863, calibrated on half of the benign accounts", 1.0, seat),
    Baseline("Glasswally", "nine of its sixteen signals, from 0.35 on", 0.35, glasswally),
    Baseline("Mahalanobis", "windows of 100 queries, calibrated on half of the benign accounts", 1.0, mahalanobis),
    Baseline("MMD", "arXiv 2606.05725, windows of 100 queries, calibrated on half of the benign accounts", 1.0, mmd),
)


def compare(baseline: Baseline, events: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float]:
    """``judged`` of a baseline's scores; every second benign account is given to it to calibrate on."""
    known, _ = split(truth)
    return judged(baseline.score(events, known), baseline.threshold, truth)


def split(truth: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Benign accounts that detectors may calibrate on, and those by which they, and we, are judged: every second."""
    benign = truth.filter(pl.col("campaign_id").is_null() & (pl.col("events") > 0))["account_id"]
    return benign[::2], benign[1::2]


def judged(scored: pl.DataFrame, threshold: float, truth: pl.DataFrame) -> dict[str, float]:
    """How a detector's scores tell planted from benign accounts.

    Args:
        scored: account_id, score; who is not in it has 0.
        threshold: accused is who is above it.
        truth: account_id, campaign_id, events.

    Returns:
        ``recall`` and ``benign``: shares of planted and of benign accounts that are accused. ``auc``: the probability
        that a planted account scores above a benign one, a tie counting half. ``recall_at_…``: recall with the lowest
        threshold, chosen in hindsight, above which at most that share of the benign accounts is; a score of 0 accuses
        nobody. Without planted accounts ``benign`` only.
    """
    planted = truth.filter(pl.col("campaign_id").is_not_null() & (pl.col("events") > 0))["account_id"]
    _, benign = split(truth)
    high, low = (
        accounts.to_frame("account_id").join(scored, on="account_id", how="left")["score"].fill_null(0.0).to_numpy()
        for accounts in (planted, benign)
    )
    low = np.sort(low)
    found = {"benign": float((low > threshold).mean()) if len(low) else 0.0}
    if not len(high) or not len(low):
        return found
    found["recall"] = float((high > threshold).mean())
    found["auc"] = float(
        (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")).mean() / 2 / len(low)
    )
    for rate in RATES:
        least = low[len(low) - 1 - int(rate * len(low))]
        found[f"recall_at_{rate:g}"] = float((high > max(least, 0.0)).mean())
    return found
