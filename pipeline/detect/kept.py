"""What looks read of hours that are over, kept from one look to the next: what they cost then is by what came since.

A rule's window begins at the same hour for as long as a ``hop``, and all of it but the last hours stays as it is. What
the macros of ``sql/views`` sum up over those hours is kept in temporary tables of the looks' own connection, and while
a rule is looked at, macros of the same names take it from there (``sql/kept``): of other windows they give what is
stored. So no rule's text knows of it, and what it finds is the same. What is kept is no longer used once any hour of it
changed, and made again when a second look found nothing changed: where late events come all the time, nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import duckdb

from pipeline.resources import sql_dir
from pipeline.rules.model import Rule, Window
from pipeline.sql_text import view_texts
from pipeline.store import Store

HOUR: Final = timedelta(hours=1)
SETTLED: Final = timedelta(minutes=15)  # an hour is over so long after its end: most that is late has come by then
LEAST: Final = timedelta(hours=6)  # of less than that it would gain little
BLOCKS: Final = 3  # windows of one day, of two, and of whichever just ended
# Macros that are the same but for where they take links from, by what they then call in place of link_rows.
_READS: Final = {"active_accounts": "model_rows", "crowds": "trait_rows"}
_TABLE: Final = re.compile(r"\bkept\.(\w+)")
_STORED: Final = re.compile(r"\bstored\.(?=\w+\()")
_NAME: Final = re.compile(r"\w+")


@dataclass(slots=True, eq=False)
class Block:
    """The hours ``[since, upto)`` of windows that begin at ``since``, and which tables are kept of them.

    ``stale``: something of it may have changed since it was made; for good.
    """

    since: datetime
    upto: datetime
    number: int
    stale: bool = False
    tables: set[str] = field(default_factory=set)


class Kept:
    """``moved`` and ``settled`` are the writer's thread; all else is that of looks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._blocks: list[Block] = []  # the one that was used last at the end
        self._pending: datetime | None = None  # what a transaction changes that is not known to be committed
        self._made = 0
        self._short_at: datetime | None = None  # memory was short when hours up to here were to be kept

    def moved(self, changed_since: datetime | None) -> None:
        """The transaction at hand changed panes from here on; said before anybody can see it."""
        self._pending = changed_since
        if changed_since is not None:
            for block in self._blocks[:]:
                block.stale |= changed_since < block.upto

    def settled(self) -> None:
        """It is committed."""
        self._pending = None

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that looks are made on, with no transaction open.

        Raises:
            StoreError: the store is being opened again.
        """
        if self._cursor is None or not self._store.readers.stays(self._cursor):
            self.close()
            self._cursor = self._store.reader()
            self._store.readers.stay(self._cursor)
        return self._cursor

    def prepare(self, rule: Rule, window: Window) -> Block | None:
        """The block that a look of this rule at this window can use, if any; tables that it lacks are made.

        Raises:
            duckdb.Error: the query was interrupted.
        """
        shadows = _shadows(rule)
        upto = _floor(window.until - SETTLED)
        if not shadows or _floor(window.since) != window.since or upto - window.since < LEAST:
            return None
        if upto == self._short_at:  # tried again when another hour is over
            return None
        known = [one for one in self._blocks if one.since == window.since and not one.stale]
        block = next((one for one in known if one.upto == upto), None)
        if block is None:
            self._register(Block(window.since, upto, self._made))
            # As long as nothing is known of how often what is over changes, what is there of it will do.
            block = next((one for one in known if one.tables), None)
        else:
            self._make(block, sorted(set().union(*(_tables(name) for name in shadows))))
        self._tidy(block)
        return block

    def use(self, rule: Rule, block: Block | None) -> None:
        """In the transaction of a look, whose snapshot is taken: the rule's macros take from the block what it has.

        Until the transaction is rolled back.
        """
        cursor = self._connection()
        for name in _shadows(rule):
            if block is not None and not block.stale and block.tables >= _tables(name):
                self._say(block)
                for text in _shadow(name):
                    cursor.execute(self._placed(text, block))
            else:
                cursor.execute(f"drop macro table if exists temp.{name}")

    def done(self) -> None:
        """A look has ended. The connection goes where the writer wants it to, with all that is kept."""
        if self._cursor is not None and not self._store.readers.stays(self._cursor):
            self.close()

    def close(self) -> None:
        """Let go of all that is kept. May be called twice."""
        self._blocks.clear()
        if self._cursor is not None:
            self._store.readers.leaves(self._cursor)
            with suppress(duckdb.Error):  # an open transaction of an instance that is no more
                self._cursor.close()
            self._cursor = None

    def _register(self, block: Block) -> None:
        """Known to the writer first: what it changes from here on makes the block stale, and what it changes now."""
        self._made += 1
        self._blocks.append(block)
        pending = self._pending
        if pending is not None and pending < block.upto:
            block.stale = True

    def _make(self, block: Block, tables: Sequence[str]) -> None:
        missing = [table for table in tables if table not in block.tables]
        if not missing or block.stale:
            return
        cursor = self._connection()
        cursor.execute("begin transaction read only")
        try:
            self._say(block)
            for table in missing:
                cursor.execute(f"create temp table {_table(block, table)} as {_text(table)}")
        except BaseException as error:
            with suppress(duckdb.Error):
                cursor.execute("rollback")
            if isinstance(error, duckdb.OutOfMemoryException):
                block.stale, self._short_at = True, block.upto
                return
            raise
        cursor.execute("commit")
        block.tables |= set(missing)

    def _tidy(self, used: Block | None) -> None:
        """Drop what is stale or has a later one in its place, and more than BLOCKS: what was used last stays."""
        others = [one for one in self._blocks if one is not used and not one.stale]
        if used is not None:
            others = [*(one for one in others if one.since != used.since or one.upto > used.upto), used]
        made = [one for one in others if one.tables][-BLOCKS:]
        begun = [one for one in others if not one.tables][-BLOCKS:]
        gone = [one for one in self._blocks if one not in made and one not in begun]
        self._blocks = [one for one in others if one not in gone]
        for block in gone:
            dropped, block.tables = block.tables, set()  # a look of several windows may still have it in hand
            for table in dropped:
                self._connection().execute(f"drop table if exists {_table(block, table)}")

    def _connection(self) -> duckdb.DuckDBPyConnection:
        assert self._cursor is not None
        return self._cursor

    def _say(self, block: Block) -> None:
        self._connection().execute("set variable kept_since = $since", {"since": block.since})
        self._connection().execute("set variable kept_upto = $upto", {"upto": block.upto})

    def _placed(self, text: str, block: Block) -> str:
        """A macro's text with the block's tables, and the macros that it stands for by their whole names."""
        found = self._connection().execute("select current_database(), current_schema()").fetchone()
        assert found is not None
        where = ".".join('"{}"'.format(name.replace('"', '""')) for name in found)
        return _STORED.sub(f"{where}.", _TABLE.sub(lambda match: _table(block, match[1]), text))


def _table(block: Block, name: str) -> str:
    assert _NAME.fullmatch(name), name
    return f"temp.kept_{block.number}_{name}"


def _floor(when: datetime) -> datetime:
    return when.replace(minute=0, second=0, microsecond=0)


@cache
def _texts() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(sql_dir("kept").glob("*.sql"))}


def _text(name: str) -> str:
    return _texts()[name]


@cache
def _shadow(name: str) -> tuple[str, ...]:
    """The statements that put another macro in the place of one."""
    if name not in _READS:
        return (_text(f"macro_{name}"),)
    text = view_texts()[name].replace("create or replace macro", "create or replace temp macro")
    assert text.count("from link_rows(") == 1, name
    return _text(f"macro_{_READS[name]}"), text.replace("from link_rows(", f"from {_READS[name]}(")


@cache
def _tables(name: str) -> frozenset[str]:
    return frozenset(table for text in _shadow(name) for table in _TABLE.findall(text))


@cache
def _macros() -> frozenset[str]:
    told = {name.removeprefix("macro_") for name in _texts() if name.startswith("macro_")}
    return frozenset((told - set(_READS.values())) | _READS.keys())


def _shadows(rule: Rule) -> list[str]:
    """Macros that the rule rests on and of which hours can be kept."""
    return [name for name in sorted(_macros()) if f"create or replace macro {name}(" in rule.behind]
