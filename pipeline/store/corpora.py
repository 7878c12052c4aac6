"""Known sets in the store: written whole, replaced whole, removed with what they made rules say."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from pipeline.corpora.marks import KnownSet
from pipeline.errors import UsageError
from pipeline.fingerprint.grouping import hex16
from pipeline.store.transaction import Transaction

MAX_ITEMS_IN_ALL: Final = 1_000_000
GROUP_KIND: Final = "corpus"  # of the group_key under which rules speak of a known set
_TABLES: Final = ("corpus", "corpus_item", "corpus_mark")


class KnownSetError(UsageError):
    """A known set that is there already, is not there, or for which there is no room."""


def apply_corpus(tx: Transaction, known: KnownSet, *, replace: bool) -> frozenset[str] | None:
    """Store a known set; return whose signals under its name went, None where it stood there as it is.

    Adding what is there already changes nothing, so a command may be repeated when its answer was lost.

    Raises:
        KnownSetError: another set has the name and ``replace`` is false, or there are too many items in all.
    """
    row = tx.execute("select digest from corpus where corpus = $name", {"name": known.name}).fetchone()
    if row and row[0] == known.digest:
        return None
    if row and not replace:
        raise KnownSetError(
            f"there is another known set {known.name!r}", next_step="choose another name, or say --replace"
        )
    touched = _remove(tx, known.name) if row else frozenset()
    others = tx.execute("select coalesce(sum(findable), 0) from corpus").fetchone()
    if others and others[0] + known.findable > MAX_ITEMS_IN_ALL:
        raise KnownSetError(
            f"{known.name}: with the sets that are there, more than {MAX_ITEMS_IN_ALL} items",
            next_step="remove one: stillwatch corpora remove NAME",
        )
    marks = known.marks.select(
        pl.lit(known.name).alias("corpus"),
        pl.col("item").cast(pl.Int64),
        pl.when("template").then(pl.lit("template")).otherwise(pl.lit("fragment")).alias("kind"),
        hex16(known.marks["hash"]).alias("thing_id"),
    )
    tx.insert("corpus_mark", marks)
    tx.insert("corpus_item", _items(marks))
    told = ("items", "findable", "duplicates", "too_short", "alike")
    tx.insert(
        "corpus",
        pl.DataFrame(
            {
                "corpus": [known.name],
                "digest": [known.digest],
                **{name: [getattr(known, name)] for name in told},
                "added_at": pl.Series([tx.now]).dt.cast_time_unit("us"),
            }
        ),
    )
    return touched


def remove_corpus(tx: Transaction, name: str) -> frozenset[str]:
    """Remove a known set and the signals under its name; return whose signals these were.

    Raises:
        KnownSetError: there is none of that name.
    """
    if not tx.execute("select 1 from corpus where corpus = $name", {"name": name}).fetchone():
        known = ", ".join(row[0] for row in tx.execute("select corpus from corpus order by corpus limit 20").fetchall())
        raise KnownSetError(f"no known set {name!r}; there are: {known or 'none'}", next_step="stillwatch corpora list")
    return _remove(tx, name)


def first_hour(tx: Transaction) -> datetime | None:
    """The first hour of event time with any links; None: nothing was seen yet. From it on rules look again."""
    row = tx.execute(
        "select min(hour) from (select min(hour) as hour from link_hour union all select min(hour) from link_delta)"
    ).fetchone()
    return row[0] if row else None


def _remove(tx: Transaction, name: str) -> frozenset[str]:
    for table in _TABLES:
        tx.execute(f"delete from {table} where corpus = $name", {"name": name})  # noqa: S608 - a name of our own
    key = {"key": f"{GROUP_KIND}:{name}"}
    rows = tx.execute("select distinct account_id from signal where group_key = $key", key).fetchall()
    tx.execute("delete from signal where group_key = $key", key)
    return frozenset(row[0] for row in rows)


def _items(marks: pl.DataFrame) -> pl.DataFrame:
    """Each item with its smallest fragment and the place of that; null where only a template tells it."""
    least = (
        marks.filter(pl.col("kind") == "fragment")
        .group_by("item")
        .agg(pl.col("thing_id").min().alias("least"))
        .with_columns(pl.col("least").rank("ordinal").cast(pl.Int64).alias("place"))
    )
    return marks.select("corpus", "item").unique().join(least, on="item", how="left").sort("item")
