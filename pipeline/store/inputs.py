"""What goes into the store beside deltas: dead letters, facts about accounts, and up to where each topic was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import polars as pl

from pipeline.events.schema import DEAD_LETTERS, UTC_MICROSECONDS
from pipeline.store.accounts import ACCOUNTS, AccountsError, check_accounts
from pipeline.store.clearing import BY_IMPORT, apply_words
from pipeline.store.transaction import Transaction

_OFFSETS: Final = pl.Schema(
    {"topic": pl.String(), "source_partition": pl.Int32(), "next_offset": pl.Int64(), "epoch": pl.String()}
)
_FACTS: Final = pl.Schema({name: dtype for name, dtype in ACCOUNTS.items() if name != "cleared_reason"})


class _Reads(Protocol):
    def execute(self, sql: str, parameters: Any = ...) -> Any: ...


def apply_dead_letters(tx: Transaction, frame: pl.DataFrame) -> int:
    """Store dead letters (columns of DEAD_LETTERS); return how many are new.

    One that is there already is passed over: a broker without transactions hands some in twice.
    """
    if frame.height == 0:
        return 0
    key = ["source_topic", "source_partition", "source_offset", "item"]
    fresh = frame.select(DEAD_LETTERS.names()).unique([*key, "reason"], keep="first", maintain_order=True)
    known = tx.frame(
        "select source_topic, source_partition, source_offset, item, reason from dead_letter "
        "where not past_epoch and source_offset >= $lowest and source_offset <= $highest",
        {"lowest": fresh["source_offset"].min(), "highest": fresh["source_offset"].max()},
    )
    if known.height:
        fresh = fresh.join(
            known.cast(fresh.select(known.columns).schema), on=known.columns, how="anti", nulls_equal=True
        )
    return tx.insert("dead_letter", fresh.with_columns(pl.lit(value=False).alias("past_epoch")))


@dataclass(frozen=True, slots=True)
class FactsApplied:
    """About how many accounts facts were told, and of which of them we now know something else than before.

    ``cleared``: about whom the facts now say that a person cleared it, or no longer do.
    """

    accounts: int
    changed: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()


def apply_accounts(tx: Transaction, rows: pl.DataFrame | Iterable[Mapping[str, object]]) -> FactsApplied:
    """Store facts about accounts.

    Null or missing keeps what is known; empty text takes it away. So partial facts from several sources add up, and a
    reason for clearing an account outlives the next message about its plan. Such a reason is a word among those that
    people say by ``accounts clear``, and the last word counts.

    Raises:
        AccountsError: rows that cannot be used; nothing of them was stored. ``check_accounts`` tells them apart before.
    """
    checked = check_accounts(rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows)
    if checked.problems:
        raise AccountsError("accounts", checked.problems)
    # Several rows about one account: for each fact the last that is told.
    fresh = checked.frame.group_by("account_id", maintain_order=True).agg(pl.exclude("account_id").drop_nulls().last())
    if fresh.height == 0:
        return FactsApplied(0)
    said = fresh.drop_nulls("cleared_reason").select(
        "account_id",
        pl.when(pl.col("cleared_reason") == "").then(pl.lit("unclear")).otherwise(pl.lit("clear")).alias("action"),
        pl.col("cleared_reason").replace({"": None}).alias("reason"),
        pl.lit(None, dtype=UTC_MICROSECONDS).alias("until"),
    )
    cleared = apply_words(tx, said, said_by=BY_IMPORT)
    fresh = fresh.select(_FACTS.names())
    facts = [name for name in _FACTS if name != "account_id"]
    ids = {"ids": fresh["account_id"].to_list()}
    known = tx.frame(
        f"select {', '.join(_FACTS)} from account_fact "  # noqa: S608 - names of our own
        "where account_id in (select unnest($ids::varchar[]))",
        ids,
    ).cast(_FACTS)
    merged = fresh.join(known, on="account_id", how="left", suffix="_known").select(
        "account_id",
        *(_told(name) for name in facts),
        pl.lit(tx.now).dt.cast_time_unit("us").alias("updated_at"),
    )
    changed = merged.drop("updated_at").join(known, on=[*_FACTS], how="anti", nulls_equal=True)
    tx.execute("delete from account_fact where account_id in (select unnest($ids::varchar[]))", ids)
    return FactsApplied(tx.insert("account_fact", merged), tuple(changed["account_id"]), tuple(sorted(cleared)))


def first_event(tx: Transaction, accounts: Collection[str]) -> datetime | None:
    """When the first of these accounts was seen; None: none was."""
    row = tx.execute(
        "select min(first_seen) from accounts where account_id in (select unnest($ids::varchar[]))",
        {"ids": sorted(accounts)},
    ).fetchone()
    return row[0] if row else None


def _told(name: str) -> pl.Expr:
    told = pl.coalesce(pl.col(name), pl.col(f"{name}_known"))
    return pl.when(told != "").then(told).alias(name) if ACCOUNTS[name] == pl.String else told.alias(name)


def next_offsets(source: _Reads, topic: str) -> dict[int, int]:
    """Where to go on reading each partition of a topic; partitions never read are missing."""
    rows = source.execute(
        "select source_partition, next_offset from consumer_offset where topic = $topic", {"topic": topic}
    ).fetchall()
    return dict(rows)


def stored_epochs(source: _Reads) -> set[str]:
    """The epochs that the stored offsets were read in; one at most, unless a caller mixes them."""
    return {row[0] for row in source.execute("select distinct epoch from consumer_offset").fetchall()}


def set_offset(tx: Transaction, topic: str, partition: int, next_offset: int, epoch: str) -> None:
    """Note up to where a partition was read, in the transaction that has what was read."""
    set_offsets(tx, {(topic, partition): next_offset}, epoch)


def set_offsets(tx: Transaction, offsets: Mapping[tuple[str, int], int], epoch: str) -> None:
    """``set_offset`` for many partitions."""
    for topic in {topic for topic, _ in offsets}:
        partitions = [partition for name, partition in offsets if name == topic]
        tx.execute(
            "delete from consumer_offset where topic = $topic "
            "and source_partition in (select unnest($partitions::integer[]))",
            {"topic": topic, "partitions": partitions},
        )
    rows = [(topic, partition, offset, epoch) for (topic, partition), offset in offsets.items()]
    tx.insert("consumer_offset", pl.DataFrame(rows, schema=_OFFSETS, orient="row"))


def new_epoch(tx: Transaction, topics: Collection[str] | None = None) -> None:
    """The broker was made anew, its offsets begin again: what is there becomes final, positions are forgotten.

    Args:
        tx: the transaction; what is read from the new broker may follow in it.
        topics: whose offsets are forgotten; None: all.
    """
    from pipeline.store.fold import fold_everything  # noqa: PLC0415 - it is the one caller

    fold_everything(tx)
    tx.execute("delete from partition_state")
    tx.execute("update dead_letter set past_epoch = true where not past_epoch")
    tx.execute("update hole set past_epoch = true where not past_epoch")
    if topics is None:
        tx.execute("delete from consumer_offset")
    else:
        tx.execute(
            "delete from consumer_offset where topic in (select unnest($topics::varchar[]))", {"topics": [*topics]}
        )
