"""When models were released, as people say: kept word by word, the last word about a model counts.

The date is event time: the findings of the same events do not depend on when it was told, as long as it is told no more
than 36 hours after them (rules look at nothing older again).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.errors import UsageError
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.store.transaction import Transaction

MAX_RELEASES: Final = 10_000  # in force
DIMENSION: Final = "model"  # of signals that rest on a release; their entity is the model


class ReleaseError(UsageError):
    """A release that nobody told, or for which there is no room."""


@dataclass(frozen=True, slots=True)
class ReleaseApplied:
    """``since``: from when on rules must look again. ``spoken_of``: whose signals went with what was said before."""

    since: datetime
    spoken_of: frozenset[str]


def apply_release(
    tx: Transaction, model: str, *, released_at: datetime | None, note: str | None, said_by: str
) -> ReleaseApplied | None:
    """Store a word about a model, and forget what rules said by the one before; None where it is the last word already.

    Saying the last word again changes nothing, so a command may be repeated when its answer was lost.

    Args:
        tx: the transaction; its ``now`` is when it was said.
        model: as requests name it.
        released_at: event time; None: what was said is taken back.
        note: what is said with it.
        said_by: who says so.

    Raises:
        ReleaseError: taken back what nobody said, or there are too many.
    """
    told = tx.frame(
        "select released_at, note from release_words where last_word and model = $model", {"model": model}
    ).cast({"released_at": UTC_MICROSECONDS})
    before, last_note = told.row(0) if told.height else (None, None)
    if told.height and before == released_at and (before is None or last_note == note):
        return None
    if released_at is None:
        if before is None:
            raise ReleaseError(
                f"nobody said when {model!r} was released; of others it is known: {_known(tx)}",
                next_step="stillwatch releases list",
            )
    elif before is None:
        row = tx.execute("select count(*) from releases").fetchone()
        if row and row[0] >= MAX_RELEASES:
            raise ReleaseError(
                f"there are {MAX_RELEASES} releases already", next_step="remove one: stillwatch releases remove MODEL"
            )
    row = tx.execute("select coalesce(max(seq), 0) + 1 from release_word").fetchone()
    tx.insert(
        "release_word",
        pl.DataFrame(
            {
                "seq": [row[0] if row else 1],
                "model": [model],
                "action": ["remove" if released_at is None else "add"],
                "released_at": pl.Series([released_at], dtype=UTC_MICROSECONDS),
                "note": pl.Series([note], dtype=pl.String),
                "said_by": [said_by],
                "said_at": pl.Series([tx.now]).dt.cast_time_unit("us"),
            }
        ),
    )
    key = {"kind": DIMENSION, "model": model}
    which = "from signal where dimension = $kind and entity_id = $model"
    rows = tx.execute(f"select distinct account_id {which}", key).fetchall()
    tx.execute(f"delete {which}", key)
    return ReleaseApplied(_again_from(tx, model, released_at, before), frozenset(row[0] for row in rows))


def _again_from(tx: Transaction, model: str, released_at: datetime | None, before: datetime | None) -> datetime:
    """The earliest moment at which the word changes anything: its dates, and the first request where none was told."""
    moments = [moment for moment in (released_at, before) if moment is not None]
    if released_at is None or before is None:
        row = tx.execute(
            "select min(first_seen) from links_1d where source_kind = 'account' and target_kind = 'model' "
            "and target_id = $model",
            {"model": model},
        ).fetchone()
        moments += [row[0]] if row and row[0] else []
    return min(moments)


def _known(tx: Transaction) -> str:
    rows = tx.execute("select model from releases order by released_at desc, model limit 20").fetchall()
    return ", ".join(row[0] for row in rows) or "none"
