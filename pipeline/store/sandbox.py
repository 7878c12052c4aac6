"""What analyst SQL may be: one SELECT or EXPLAIN over the views, judged on DuckDB's own syntax tree.

The guard against writing is not here: it is the read-only transaction and the switched-off access of the instance
(``query``). This keeps to what is stable, and closes what a read-only transaction still shows or does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import duckdb

from pipeline.errors import QueryError
from pipeline.store.functions import GROWING, MAX_LITERAL_CHARS, MAX_OPERANDS, allowed

MAX_SQL_CHARS: Final = 100_000
_CATALOGUE: Final = frozenset({"tables", "columns", "schemata"})
_TABLE_FUNCTIONS: Final = frozenset(
    {"unnest", "range", "generate_series", "duckdb_views", "duckdb_columns", "duckdb_functions", "duckdb_keywords"}
)
_COMMENT: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN: Final = re.compile(
    rf"^{_COMMENT}explain{_COMMENT}(?:\(\s*(?:analyze|format)\b[^)]*\)|analyze\b)?", re.IGNORECASE | re.DOTALL
)


def judge(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement of ``sql``, if it may run.

    Raises:
        QueryError: it does not parse, is several statements, is no SELECT, or names what is not for analysts.
    """
    if len(sql) > MAX_SQL_CHARS:
        raise QueryError(f"the query has {len(sql)} characters; at most {MAX_SQL_CHARS}", next_step="make it shorter")
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(str(error), next_step="the position is marked above") from error
    kinds = [statement.type.name for statement in statements]
    if len(kinds) != 1 or kinds[0] not in {"SELECT", "EXPLAIN"}:
        raise QueryError(
            f"one SELECT (or EXPLAIN) is needed, here is {' and '.join(kinds) or 'nothing'}",
            next_step="ask one question at a time; the store is written by serve only",
        )
    [statement] = statements
    text = statement.query if kinds[0] == "SELECT" else _EXPLAIN.sub("", statement.query, count=1)
    problem = next(_problems(_tree(cursor, text), _views(cursor), _macros(cursor)), None)
    if problem is not None:
        raise QueryError(problem, next_step="`show tables` lists the views; docs/sql.md explains them")
    return statement


def _tree(cursor: duckdb.DuckDBPyConnection, text: str) -> Any:
    try:
        row = cursor.execute("select json_serialize_sql($text)", {"text": text}).fetchone()
    except duckdb.Error as error:
        raise QueryError(str(error), next_step="make the query simpler") from error
    tree = json.loads(row[0]) if row else {"error": True}
    if tree.get("error"):
        raise QueryError(
            f"not a query that can be run here: {tree.get('error_message', '')}",
            next_step="write a SELECT; for PIVOT name the values, in a subquery: from (pivot … on … in (…) …)",
        )
    return tree["statements"]


def _views(cursor: duckdb.DuckDBPyConnection) -> Collection[str]:
    rows = cursor.execute("select view_name from duckdb_views() where not internal and schema_name = 'main'").fetchall()
    return {str(row[0]).lower() for row in rows}


def _macros(cursor: duckdb.DuckDBPyConnection) -> Collection[str]:
    """Our own functions; what they are made of is not the analyst's."""
    rows = cursor.execute(
        "select function_name from duckdb_functions() where not internal and function_type in ('macro', 'table_macro')"
    ).fetchall()
    return {str(row[0]).lower() for row in rows}


def _problems(tree: Any, views: Collection[str], macros: Collection[str]) -> Iterator[str]:
    nodes = list(_walk(tree))
    of_tables = {id(node["function"]) for node in nodes if node.get("type") == "TABLE_FUNCTION"}
    operands = 0
    own = {entry["key"].lower() for node in nodes for entry in (node.get("cte_map") or {}).get("map", [])}
    for node in nodes:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            yield from _table_problems(node, views, own)
        elif kind == "TABLE_FUNCTION":
            function = str((node.get("function") or {}).get("function_name")).lower()
            if function not in _TABLE_FUNCTIONS and function not in macros:
                yield f"{function}(): not a table function for analysts"
        elif node.get("class") in {"FUNCTION", "WINDOW"} and id(node) not in of_tables:
            function = str(node.get("function_name")).lower()
            if not allowed(function) and function not in macros:
                yield f"{function}(): not a function for analysts"
            if function in GROWING:
                operands += len(node.get("children") or ())
        elif node.get("class") == "CONSTANT":
            value = (node.get("value") or {}).get("value")
            if isinstance(value, str) and len(value) > MAX_LITERAL_CHARS:
                yield f"a text of {len(value)} characters; at most {MAX_LITERAL_CHARS} are taken"
    if operands > MAX_OPERANDS:
        yield f"{operands} operands of || and the like; at most {MAX_OPERANDS} are taken"


def _table_problems(node: dict[str, Any], views: Collection[str], own: Collection[str]) -> Iterator[str]:
    schema, name = str(node.get("schema_name")).lower(), str(node.get("table_name")).lower()
    if node.get("catalog_name") or (
        name not in _CATALOGUE
        if schema == "information_schema"
        else schema not in {"", "main"} or (name not in views and (name not in own or schema))
    ):
        yield f"{schema + '.' if schema else ''}{name}: no such view"
    if node.get("at_clause"):  # a DuckLake has for some minutes what was deleted
        yield f"{name} at (…): only the present state can be asked"


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
