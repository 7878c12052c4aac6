"""What some benign customers do over days that a distiller does too: paste answers, work on a prompt, change models."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.answers import answers
from pipeline.simulate.timing import Floats

_REFUSED: Final = 0.004  # of anybody's requests, by policy
_RULES_CHARS: Final = 600  # of a prompt that is worked on
_LATER: Final = timedelta(minutes=5)  # after which a text has reached the desk that works on with it


def refused_now_and_then(rng: np.random.Generator, frame: pl.DataFrame) -> pl.DataFrame:
    """A few requests in a thousand are refused, whoever asks."""
    return frame.with_columns(refused=pl.Series(rng.random(frame.height) < _REFUSED))


def pasted(rng: np.random.Generator, frame: pl.DataFrame, prefix: str, *, share: float) -> pl.DataFrame:
    """Native events in which every fourth account works on with what the three before it were answered.

    A desk that edits or translates for other companies: about ``share`` of its requests are the latest answer that one
    of them got, some minutes later.
    """
    told = frame.with_columns(
        pl.when(pl.col("response").is_not_null())
        .then(pl.Series("said", answers(rng, frame["response"].str.len_chars().fill_null(0).to_list())))
        .alias("response"),
        pl.Series("again", rng.random(frame.height) < share),
        pl.col("account_id").rank("dense").sub(1).cast(pl.Int64).alias("place"),
    ).with_columns(
        desk=pl.col("place") % 4 == 3, table=pl.col("place") // 4, arrives=pl.col("timestamp").dt.cast_time_unit("us")
    )
    written = told.filter(~pl.col("desk") & pl.col("response").is_not_null()).select(
        "table", "arrives", written="response"
    )
    handed = (
        told.with_columns(pl.col("arrives") - _LATER)
        .sort("arrives")
        .join_asof(written.sort("arrives"), on="arrives", by="table", check_sortedness=False)
    )
    works = pl.col("desk") & pl.col("again") & pl.col("written").is_not_null()
    return handed.with_columns(
        pl.when(works).then(pl.lit(prefix) + pl.col("written")).otherwise("prompt").alias("prompt")
    ).select(frame.columns)


def built(rng: np.random.Generator, frame: pl.DataFrame, subjects: tuple[str, ...], *, tries: int) -> pl.DataFrame:
    """Native events of people who work on a system prompt, each on one of his own, and then use what has become of it.

    Up to ``tries`` requests of an account each have a variant, and about a third of them are refused: the subject is a
    delicate one. All later requests have the last variant, and are answered.
    """
    ordered = frame.sort("account_id", "timestamp", "event_id")
    place = ordered.select(pl.int_range(pl.len()).over("account_id").alias("place"))["place"].to_numpy()
    owner = ordered["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    count = int(owner.max()) + 1 if len(owner) else 0
    least = max(2, tries // 3)
    needed = rng.integers(least, max(least + 1, tries), count)
    about = rng.integers(0, len(subjects), count)
    # Sentences of his own: strangers who happened to have a passage in common would be another kind of twin.
    rules = [text.split(". ") for text in answers(rng, [_RULES_CHARS] * count)]
    seed = int(rng.integers(2**31))
    systems = []
    # A loop over the requests of a handful of accounts.
    for who, number in zip(owner.tolist(), place.tolist(), strict=True):
        drawn = np.random.default_rng([seed, who, min(number, int(needed[who]))])
        chosen = drawn.permutation(len(rules[who]))[: int(drawn.integers(2, len(rules[who])))]
        systems.append(". ".join([subjects[about[who]], *(rules[who][i] for i in chosen)]))
    trying = place < needed[owner]
    return ordered.with_columns(
        pl.Series("system", systems, dtype=pl.String),
        pl.Series("refused", trying & (rng.random(len(place)) < 0.35)),
    ).select(frame.columns)


def moved(
    rng: np.random.Generator, frame: pl.DataFrame, model: str, after_s: Floats, *, within_s: float
) -> pl.DataFrame:
    """Native events whose accounts each change to ``model`` for good, at a moment up to ``within_s`` after its release.

    ``after_s``: seconds since the release of each event.
    """
    owner = frame["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    moment = rng.uniform(0, within_s, int(owner.max()) + 1 if len(owner) else 0)
    changed = pl.Series(after_s > moment[owner])
    return frame.with_columns(pl.when(changed).then(pl.lit(model)).otherwise("model").alias("model"))
