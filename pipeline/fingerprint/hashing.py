"""64-bit hashes of text that are the same in every process and version: XXH3, not Polars' own ``hash``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh

_ODD = np.uint64(0x9E3779B97F4A7C15)


def hash_text(column: pl.Series) -> pl.Series:
    """XXH3-64 of each text as UInt64; null stays null."""
    return column.to_frame("text").select(plh.col("text").nchash.xxh3_64()).to_series()  # type: ignore[attr-defined, unused-ignore]


def event_keys(events: pl.DataFrame) -> npt.NDArray[np.uint64]:
    """What names an event for de-duplication: a hash of (account_id, event_id), one a row; both must be there.

    Two different events get the same key with a probability of about 1e-13 at two million remembered.
    """
    account = hash_text(events["account_id"]).to_numpy()
    event = hash_text(events["event_id"]).to_numpy()
    with np.errstate(over="ignore"):
        mixed: npt.NDArray[np.uint64] = (event ^ (account * _ODD)) * _ODD
    return mixed ^ (mixed >> np.uint64(32))
