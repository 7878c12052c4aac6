"""The reader's sandbox: runs one analyst query on a cursor of its own, in a read-only transaction, within limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

import duckdb
import pyarrow as pa

from pipeline.clock import SystemClock
from pipeline.errors import QueryError
from pipeline.store.connection import explained
from pipeline.store.functions import MAX_LITERAL_CHARS
from pipeline.store.readers import Readers, sent_away
from pipeline.store.sandbox import judge
from pipeline.store.store import Store

MAX_RESULT_BYTES: Final = 67_108_864
_BATCH_ROWS: Final = 2_048  # DuckDB's vector: what comes at the end of the rows is not computed in vain


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a query. ``truncated``: there are more; the limit of rows, or of MAX_RESULT_BYTES, cut them."""

    table: pa.Table
    truncated: bool


def run_query(
    store: Store | duckdb.DuckDBPyConnection,
    sql: str,
    *,
    params: Mapping[str, object] | None = None,
    timeout_s: float,
    max_rows: int,
    cancelled: threading.Event | None = None,
) -> Result:
    """Run one SELECT or EXPLAIN over the views. From any thread; blocks for ``timeout_s`` and a second at most.

    Where Ctrl-C must work, not from the main thread: DuckDB lets KeyboardInterrupt out in the middle of a query, and
    then waits for that query's end when the cursor is closed, past every limit of time.

    Sees the state as of its start and holds the writer up in nothing but the machine's cores.

    Args:
        store: an open store, or a connection that ``connection.lock`` was called on.
        sql: the query; ``$name`` is bound from ``params``, of which those that it does not name are left out.
        params: values for it.
        timeout_s: after that long it is interrupted.
        max_rows: rows at most.
        cancelled: set by another thread, it ends the query at once; set in any case when the query has ended.

    Raises:
        QueryError: it is not allowed, wrong, too slow, or needs too much memory; the message says which.
        StoreError: the store itself fails; serve is opening it again.
    """

    def judged(cursor: duckdb.DuckDBPyConnection) -> tuple[duckdb.Statement, dict[str, object]]:
        statement = judge(cursor, sql)
        return statement, _bound(statement, params or {})

    return _run(store, judged, timeout_s, max_rows, cancelled)


def run_rule(
    store: Store | duckdb.DuckDBPyConnection,
    sql: str,
    *,
    params: Mapping[str, object],
    timeout_s: float,
    max_rows: int,
    cancelled: threading.Event | None = None,
) -> Result:
    """As ``run_query``, for the text of a rule, or EXPLAIN and that: ``rules.lint`` has judged it, and it may do more.

    Not for texts that somebody sends: what it may call (``format``) can fill the memory.

    Raises:
        QueryError: it fails, is too slow, or needs too much memory.
        StoreError: the store itself fails.
    """
    return _run(store, lambda _: (sql, dict(params)), timeout_s, max_rows, cancelled)


def _run(
    store: Store | duckdb.DuckDBPyConnection,
    judged: Callable[[duckdb.DuckDBPyConnection], tuple[duckdb.Statement | str, dict[str, object]]],
    timeout_s: float,
    max_rows: int,
    cancelled: threading.Event | None,
) -> Result:
    cursor = store.reader() if isinstance(store, Store) else store.cursor()
    readers = store.readers if isinstance(store, Store) else Readers(SystemClock())
    try:
        with readers.entered(cursor), _deadline(cursor, timeout_s, cancelled or threading.Event()) as expired:
            try:
                statement, bound = judged(cursor)
                cursor.execute("begin transaction read only")
                cursor.execute(statement, bound) if bound else cursor.execute(statement)
                return _fetch(cursor, max_rows)
            except duckdb.FatalException as error:
                raise explained(error, store.place if isinstance(store, Store) else None) from error
            except (duckdb.Error, RuntimeError) as error:  # RuntimeError: Arrow's, of an interrupted stream
                if readers.was_sent_away(cursor):
                    raise sent_away() from error
                raise _told(error, timed_out=expired.is_set(), timeout_s=timeout_s) from error
    finally:
        cursor.close()  # ends the transaction


@contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, timeout_s: float, wake: threading.Event) -> Iterator[threading.Event]:
    """Interrupt the cursor when the time is up or ``wake`` is set, again and again: one between two steps is lost."""
    expired, ended = threading.Event(), threading.Event()

    def watch() -> None:
        if not wake.wait(timeout_s):
            expired.set()
        while not ended.is_set():
            cursor.interrupt()
            ended.wait(0.05)

    watcher = threading.Thread(target=watch, name="query-deadline", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        ended.set()
        wake.set()
        watcher.join()


def _bound(statement: duckdb.Statement, params: Mapping[str, object]) -> dict[str, object]:
    wanted = set(statement.named_parameters)
    missing = sorted(wanted - set(params))
    if missing:
        raise QueryError(
            f"no value for {', '.join('$' + name for name in missing)}",
            next_step=f"add --param {missing[0]}=VALUE",
        )
    bound = {name: params[name] for name in wanted}
    for name, value in bound.items():
        if isinstance(value, str) and len(value) > MAX_LITERAL_CHARS:
            raise QueryError(
                f"${name} has {len(value)} characters; at most {MAX_LITERAL_CHARS} are taken", next_step="shorten it"
            )
    return bound


def _fetch(cursor: duckdb.DuckDBPyConnection, max_rows: int) -> Result:
    reader = cursor.to_arrow_reader(min(_BATCH_ROWS, max_rows + 1))
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        room = max_rows - rows
        if batch.num_rows > room or size > MAX_RESULT_BYTES:
            kept = batch.slice(0, room if size <= MAX_RESULT_BYTES else 0)
            return Result(_table([*batches, kept], reader.schema), truncated=True)
        batches.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    return Result(_table(batches, reader.schema), truncated=False)


def _table(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """The rows with a name of its own for each column: as an object of JSON, one of two of a name would be lost."""
    for column in schema:
        if _unnamed(column.type):
            raise QueryError(
                f"column {column.name}: fields without names of their own", next_step="name them: {'a': 1, 'b': 2}"
            )
    names: list[str] = []
    for name in schema.names:
        taken = {*names, *(other for other in schema.names if other != name)}
        free = (f"{name}_{number}" for number in count(1))
        names.append(name if name not in names else next(other for other in free if other not in taken))
    return pa.Table.from_batches(batches, schema).rename_columns(names)


def _unnamed(kind: pa.DataType) -> bool:
    fields = [kind.field(number) for number in range(kind.num_fields)]
    names = [field.name for field in fields]
    of_struct = pa.types.is_struct(kind) and (len(set(names)) < len(names) or "" in names)
    return of_struct or any(_unnamed(field.type) for field in fields)


def _told(error: Exception, *, timed_out: bool, timeout_s: float) -> QueryError:
    text = str(error)
    if timed_out:
        return QueryError(
            f"the query took longer than {timeout_s:g} s and was stopped",
            next_step="ask about a shorter time, or filter by kind and entity_id",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
        return QueryError("the query needs more memory than it may have", next_step="aggregate or filter earlier")
    if isinstance(error, duckdb.PermissionException):
        return QueryError(text.splitlines()[0], next_step="files, network and settings are out of reach here")
    return QueryError(text, next_step="`describe VIEW` shows a view's columns; docs/sql.md explains them")
