"""Answers that no other request has, where they are sent to the model again; what nobody sends again stays one text."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.grammar import SLOTS

_OPENINGS: Final = (
    "To begin with", "Taken together", "Looking more closely", "By contrast", "In practice", "It follows that",
    "For that reason", "As a check", "Put differently", "On the other hand", "At first sight", "Step by step",
)  # fmt: skip
_VERBS: Final = (
    "depends on", "outweighs", "is explained by", "changes with", "leads to", "resembles", "comes before", "limits",
    "is measured against", "adds to", "follows from", "has little to do with",
)  # fmt: skip
_ENDS: Final = (
    "which settles the first part", "so the sum is unchanged", "as the table shows", "though not by much",
    "and nothing else does", "within the usual margin", "before anything is rounded", "if the premise holds",
    "and the rest cancels", "so we keep it", "which was to be shown", "until the last step",
)  # fmt: skip
_PARTS: Final = (
    _OPENINGS, SLOTS["topic"], _VERBS, SLOTS["n"], SLOTS["ware"], ("for", "against", "beside", "without"),
    SLOTS["person"], _ENDS,
)  # fmt: skip
_SENTENCE_CHARS: Final = 60  # no sentence is shorter


def answers(rng: np.random.Generator, chars: list[int]) -> list[str]:
    """An answer of so many characters each."""
    counts = [length // _SENTENCE_CHARS + 1 for length in chars]
    drawn = [iter(rng.integers(0, len(part), sum(counts)).tolist()) for part in _PARTS]
    return [
        " ".join(
            " ".join(part[next(one)] for part, one in zip(_PARTS, drawn, strict=True)) + "." for _ in range(count)
        )[:length]
        for length, count in zip(chars, counts, strict=True)
    ]


def chained(rng: np.random.Generator, frame: pl.DataFrame, prefix: str, *, share: float, behind: int) -> pl.DataFrame:
    """Native events of which about ``share`` ask about an answer that their account got ``behind`` requests before.

    What an ordinary application of several steps does: outline, then article; translation, then check.
    """
    told = frame.with_columns(
        pl.when(pl.col("response").is_not_null())
        .then(pl.Series("said", answers(rng, frame["response"].str.len_chars().fill_null(0).to_list())))
        .alias("response"),
        pl.Series("again", rng.random(frame.height) < share),
    )
    placed = told.sort("timestamp", "event_id").with_columns(
        pl.col("response").shift(behind).over("account_id").alias("before")
    )
    return placed.with_columns(
        pl.when(pl.col("again") & pl.col("before").is_not_null())
        .then(pl.lit(prefix) + pl.col("before"))
        .otherwise("prompt")
        .alias("prompt")
    ).select(frame.columns)
