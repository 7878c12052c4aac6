"""Glasswally's fusion, as far as an API provider's events can feed it.

Source: the weights, thresholds and formulas of github.com/m0rs3c0d3/Glasswally (MIT), ``engine/fusion.rs`` and
``workers/``; nothing of its code. Sixteen workers give a score and a confidence each, of which
``score * (0.4 + 0.6 * confidence)`` counts with the worker's weight; an account in a cluster of five or more gets 0.08
more, traffic from China 30 % more; from 0.35 on something is done about it.

Computed are nine, with 0.66 of the weight: fingerprint, velocity, cot, hydra, timing_cluster, pivot, role_preamble,
session_gap, token_budget. The others need what does not reach a provider's log (HTTP/2 frames, keystrokes, canaries),
lists of networks' names, or texts of theirs; as in the original, who says nothing adds nothing. Stand-ins: the client
(user agent, JA4, SDK) for JA3, our kinds of requests for their list of phrases. Where they look at every event with the
hour before it, here each full hour of an account is looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

WEIGHTS: Final = {
    "fingerprint": 0.14,
    "velocity": 0.10,
    "cot": 0.09,
    "hydra": 0.08,
    "timing_cluster": 0.07,
    "role_preamble": 0.06,
    "pivot": 0.05,
    "session_gap": 0.04,
    "token_budget": 0.03,
}
_KINDS: Final = ("reasoning_elicitation", "rubric_grading")
_MAXIMA: Final = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 128_000, 200_000)
_HOUR: Final = pl.col("timestamp").dt.truncate("1h").alias("hour")


def glasswally(events: pl.DataFrame, benign: pl.Series) -> pl.DataFrame:
    """The fused score of each account; see the module."""
    del benign
    clusters = _clusters(events)
    workers = {
        "fingerprint": _fingerprint(events),
        "velocity": _velocity(events),
        "cot": _cot(events),
        "hydra": _hydra(events, clusters),
        "timing_cluster": _timing(events),
        "role_preamble": _preamble(events),
        "pivot": _pivot(events, clusters),
        "session_gap": _sessions(events),
        "token_budget": _budget(events),
    }
    fused = events.group_by("account_id").agg((pl.col("country") == "CN").any().fill_null(value=False).alias("cn"))
    sizes = clusters.with_columns(pl.len().over("cluster").alias("members"))
    fused = fused.join(sizes, on="account_id", how="left")
    for name, found in workers.items():
        worker = found.select("account_id", _effective().alias(name)).group_by("account_id").agg(pl.col(name).max())
        fused = fused.join(worker, on="account_id", how="left")
    total = pl.sum_horizontal(pl.col(name).fill_null(0.0) * weight for name, weight in WEIGHTS.items())
    lifted = pl.when("cn").then((total * 1.3).clip(upper_bound=1.0)).otherwise(total)
    crowd = pl.when(pl.col("members") >= 5).then(0.08).otherwise(0.0)
    return fused.select("account_id", (lifted + crowd).clip(upper_bound=1.0).alias("score"))


def _effective() -> pl.Expr:
    return pl.col("score").clip(upper_bound=1.0) * (0.4 + 0.6 * pl.col("confidence"))


def _steps(value: pl.Expr, *steps: tuple[float, float]) -> pl.Expr:
    """The first score whose bound the value exceeds, highest bound first; else 0."""
    chosen = pl.lit(0.0)
    for bound, score in reversed(steps):
        chosen = pl.when(value > bound).then(score).otherwise(chosen)
    return chosen


def _fingerprint(events: pl.DataFrame) -> pl.DataFrame:
    """Clients: three or more of one account, or one that ten accounts have."""
    used = events.drop_nulls("client").unique(["account_id", "client"]).select("account_id", "client")
    shared = used.with_columns(pl.len().over("client").alias("accounts"))
    own = shared.group_by("account_id").agg(pl.len().alias("clients"), pl.col("accounts").max())
    counted = events.group_by("account_id").agg(pl.len().alias("n"), (pl.col("country") == "CN").any().alias("cn"))
    score = pl.when(pl.col("clients") >= 3).then(0.20).otherwise(0.0) + pl.when(pl.col("accounts") >= 10).then(
        0.15
    ).otherwise(0.0)
    confidence = (pl.col("n") / 20).clip(upper_bound=1.0)
    lifted = score * pl.when("cn").then(1.2).otherwise(1.0)
    return own.join(counted, on="account_id").select(
        "account_id", score=lifted * (0.4 + 0.6 * confidence), confidence=confidence
    )


def _velocity(events: pl.DataFrame) -> pl.DataFrame:
    """Requests an hour, even gaps, even sizes, at night (UTC)."""
    gaps = (pl.col("timestamp").diff().over("account_id", "hour").dt.total_microseconds() / 1e6).alias("gap")
    hours = (
        events.sort("timestamp")
        .with_columns(_HOUR)
        .with_columns(
            gaps, (pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)).alias("tokens")
        )
        .group_by("account_id", "hour")
        .agg(
            pl.len().alias("n"),
            (1 - pl.col("gap").std(ddof=0) / pl.col("gap").mean()).fill_nan(0.0).alias("even"),
            (pl.col("tokens").std(ddof=0) / pl.col("tokens").mean()).fill_nan(0.0).alias("spread"),
            (pl.col("timestamp").dt.hour() < 6).mean().alias("night"),
        )
        .filter(pl.col("n") >= 5)
    )
    confidence = (pl.col("n") / 50).clip(upper_bound=1.0)
    score = (
        _steps(pl.col("n"), (200, 0.45), (60, 0.25))
        + _steps(pl.col("even"), (0.70, 0.30), (0.50, 0.15))
        + pl.when(pl.col("spread") < 0.15).then(0.15).otherwise(0.0)
        + pl.when(pl.col("night") > 0.5).then(0.10).otherwise(0.0)
    )
    return hours.select("account_id", score=score * (0.5 + 0.5 * confidence), confidence=confidence)


def _cot(events: pl.DataFrame) -> pl.DataFrame:
    """Any request for reasoning or grading, and a fifth of an hour's of five or more."""
    hit = pl.col("request_kind").is_in(_KINDS).fill_null(value=False)
    hours = (
        events.with_columns(_HOUR, hit.alias("hit"))
        .group_by("account_id", "hour")
        .agg(pl.len().alias("n"), pl.col("hit").any().alias("any"), pl.col("hit").mean().alias("share"))
    )
    often = (pl.col("n") >= 5) & (pl.col("share") >= 0.20)
    score = pl.when("any").then(0.40).otherwise(0.0) + pl.when(often).then(0.35).otherwise(0.0)
    return hours.select("account_id", score=score, confidence=pl.lit(0.9))


def _clusters(events: pl.DataFrame) -> pl.DataFrame:
    """Accounts that share payment, organisation, network or client with two others or more, joined up."""
    things = ("payment_hash", "organisation", "network", "client")
    edges = (
        pl.concat(
            events.select("account_id", pl.format(name + ":{}", name).alias("thing")).drop_nulls().unique()
            for name in things
        )
        .filter(pl.len().over("thing") > 1)
        .with_columns(pl.col("account_id").rank("dense").cast(pl.Int64).alias("cluster"))
    )
    while True:
        # The smallest number goes from accounts to things and back until nothing changes.
        spread = edges.with_columns(pl.col("cluster").min().over("thing")).with_columns(
            pl.col("cluster").min().over("account_id")
        )
        if spread["cluster"].equals(edges["cluster"]):
            break
        edges = spread
    return (
        edges.group_by("account_id")
        .agg(pl.col("cluster").first())
        .filter(pl.len().over("cluster") > 2)
        .sort("account_id")
    )


def _hydra(events: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """The size of an account's cluster, and how many payments and networks it has. Card prefixes are left out: what
    arrives is a hash.
    """
    joined = events.join(clusters, on="account_id")
    payers = joined.unique(["cluster", "payment_hash", "account_id"]).drop_nulls("payment_hash")
    most = payers.group_by("cluster", "payment_hash").len().group_by("cluster").agg(pl.col("len").max().alias("payers"))
    whole = (
        joined.group_by("cluster")
        .agg(
            pl.col("account_id").n_unique().alias("members"),
            pl.col("payment_hash").drop_nulls().n_unique().alias("payments"),
            pl.col("network").drop_nulls().n_unique().alias("networks"),
            (pl.col("country") == "CN").any().alias("cn"),
            pl.len().alias("requests"),
        )
        .join(most, on="cluster", how="left")
    )
    score = (
        (pl.col("members") / 25).clip(upper_bound=1.0) * 0.40
        + (pl.col("payments") * 0.07).clip(upper_bound=0.35)
        + (pl.col("networks") * 0.03).clip(upper_bound=0.15)
        + pl.when("cn").then(0.10).otherwise(0.0)
        + pl.when(pl.col("payers") >= 4).then(0.15).otherwise(0.0)
    )
    scored = whole.select("cluster", score=score, confidence=(pl.col("requests") / 100).clip(upper_bound=1.0))
    return clusters.join(scored, on="cluster").select("account_id", "score", "confidence")


def _timing(events: pl.DataFrame) -> pl.DataFrame:
    """Seconds in which five accounts or more ask, and three more of them in the five minutes before."""
    second = events.select("account_id", second=pl.col("timestamp").dt.epoch("s")).unique()
    busy = second.group_by("second").len("n").filter(pl.col("n") >= 5).sort("second")
    if busy.is_empty():
        return pl.DataFrame(schema={"account_id": pl.String, "score": pl.Float64, "confidence": pl.Float64})
    moments = busy["second"].to_numpy()
    before = np.arange(len(moments)) - np.searchsorted(moments, moments - 300)
    scored = busy.with_columns(pl.Series("before", before)).select(
        "second",
        score=((pl.col("n") - 5) / 7 * 0.5).clip(upper_bound=0.5)
        + pl.when(pl.col("before") >= 3).then(0.30).otherwise(0.0),
        confidence=(pl.col("n") / 12).clip(upper_bound=1.0),
    )
    return second.join(scored, on="second").select("account_id", "score", "confidence")


def _preamble(events: pl.DataFrame) -> pl.DataFrame:
    """One system prompt over five requests or more of an account, or over several accounts."""
    used = events.drop_nulls("system_hash").group_by("account_id", "system_hash").len("n")
    shares = used.with_columns(
        pl.col("n").sum().over("account_id").alias("all"), pl.len().over("system_hash").alias("accounts")
    )
    share = pl.col("n") / pl.col("all")
    reuse = (
        pl.when(pl.col("all") < 5)
        .then(0.0)
        .when(share >= 0.80)
        .then(0.35)
        .when(share >= 0.60)
        .then(0.20)
        .otherwise(0.0)
    )
    collision = _steps(pl.col("accounts"), (9, 0.50), (4, 0.35), (2, 0.18))
    confidence = pl.when(collision > 0).then(0.90).when(reuse > 0).then(0.75).otherwise(0.55)
    return shares.select("account_id", score=reuse + collision, confidence=confidence)


def _pivot(events: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """The last change of model, and how many of the cluster made the same one within six hours of it."""
    moves = (
        events.sort("timestamp")
        .filter(pl.col("model") != pl.col("model").shift(1).over("account_id"))
        .group_by("account_id", maintain_order=True)
        .agg(pl.col("model").last(), pl.col("timestamp").last().dt.epoch("s").alias("at"))
        .join(clusters, on="account_id", how="left")
    )
    together = (
        moves.drop_nulls("cluster")
        .sort("at")
        .group_by("cluster", "model", maintain_order=True)
        .agg("account_id", "at", pl.col("at").map_batches(_within_six_hours, return_dtype=pl.Int64).alias("with"))
        .explode("account_id", "at", "with", empty_as_null=True)
        .select("account_id", "with")
    )
    score = pl.when(pl.col("with") >= 5).then(0.20 + pl.col("with") / 30 * 0.80).otherwise(0.20)
    return moves.join(together, on="account_id", how="left").select("account_id", score=score, confidence=pl.lit(0.85))


def _within_six_hours(moments: pl.Series) -> pl.Series:
    at = moments.to_numpy()
    return pl.Series(np.searchsorted(at, at + 6 * 3600, "right") - np.searchsorted(at, at - 6 * 3600), dtype=pl.Int64)


def _sessions(events: pl.DataFrame) -> pl.DataFrame:
    """Pauses of two minutes or more that are all alike, as a timer makes them."""
    gap = (pl.col("timestamp").diff().over("account_id").dt.total_microseconds() / 1e6).alias("gap")
    ordered = events.sort("timestamp").select("account_id", gap)
    begun = ordered.with_columns(
        (pl.col("gap") >= 120).fill_null(value=True).cum_sum().over("account_id").alias("session")
    )
    sizes = begun.group_by("account_id", "session").agg(pl.len().alias("size"), pl.col("gap").first())
    shapes = sizes.group_by("account_id").agg(
        pl.len().alias("sessions"),
        pl.col("size").sum().alias("n"),
        (pl.col("gap").std(ddof=0) / pl.col("gap").mean()).alias("gap_cv"),
        (pl.col("size").std(ddof=0) / pl.col("size").mean()).alias("size_cv"),
    )
    even = pl.col("gap_cv")
    score = (
        pl.when(even < 0.05).then(0.55).when(even < 0.08).then(0.40).when(even < 0.15).then(0.20).otherwise(0.0)
        + pl.when((pl.col("size_cv") < 0.10) & (even < 0.15)).then(0.25).otherwise(0.0)
        + pl.when(pl.col("sessions") > 20).then(0.10).otherwise(0.0)
    )
    confidence = pl.when(even < 0.05).then(0.88).when(even < 0.08).then(0.75).otherwise(0.55)
    kept = shapes.filter((pl.col("n") >= 8) & (pl.col("sessions") >= 4))
    return kept.select("account_id", score=score, confidence=confidence).filter(pl.col("score") >= 0.15)


def _budget(events: pl.DataFrame) -> pl.DataFrame:
    """``max_tokens`` at a model's limit, and high. Sweeps over it are left out."""
    limits = np.array(_MAXIMA)
    asked = events.drop_nulls("max_tokens").select("account_id", "max_tokens")
    values = asked["max_tokens"].to_numpy()
    nearest = limits[np.abs(values[:, None] - limits[None, :]).argmin(axis=1)] if len(values) else values
    shares = (
        asked.with_columns(pl.Series("greedy", values >= 0.9 * nearest))
        .group_by("account_id")
        .agg(pl.len().alias("n"), pl.col("greedy").mean(), pl.col("max_tokens").median().alias("median"))
        .filter(pl.col("n") >= 6)
    )
    greedy, high = pl.col("greedy") >= 0.70, pl.col("median") > 2000
    score = pl.when(greedy).then(0.30).otherwise(0.0) + pl.when(high).then(0.10).otherwise(0.0)
    confidence = pl.when(greedy & high).then(0.82).otherwise(0.60)
    return shares.select("account_id", score=score, confidence=confidence).filter(pl.col("score") >= 0.20)
