"""What the SQL of a rule may be: exactly one SELECT, over the analyst views only, with its window bound.

DuckDB's own parser judges it: the syntax tree is walked, not the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import duckdb

ALLOWED_VIEWS: Final = frozenset(
    {
        "accounts",
        "api_keys",
        "fingerprints_1m",
        "fingerprints_1h",
        "fingerprints_1d",
        "links",
        "signals",
        "findings",
        "campaigns",
        "campaign_members",
        "corpora",
        "releases",
        "dead_letters",
        "pipeline_health",
    }
)
_TABLE_FUNCTIONS: Final = frozenset(
    {
        "unnest",
        "range",
        "generate_series",
        "active_accounts",
        "account_hours",
        "account_rows",
        "account_texts",
        "account_distributions",
        "corpus_sightings",
        "corpus_coverage",
        "asked_kinds",
        "crowds",
        "last_fragments",
        "link_days",
        "link_rows",
        "often_said",
        "output_loops",
        "model_releases",
        "peers",
    }
)
# A rule must give the same rows for the same window whenever it is run, and must not read the process's surroundings.
_REFUSED_FUNCTIONS: Final = frozenset(
    {
        "now",
        "current_timestamp",
        "get_current_timestamp",
        "transaction_timestamp",
        "current_date",
        "today",
        "get_current_time",
        "random",
        "uuid",
        "gen_random_uuid",
        "setseed",
        "getenv",
        "current_setting",
        "nextval",
        "currval",
        "query",
        "query_table",
        "read_text",
        "read_blob",
        "error",
    }
)


def problems(sql: str, parameters: frozenset[str]) -> list[str]:
    """Everything that is wrong with a rule's SQL; empty when it may run.

    Args:
        sql: the text of the file.
        parameters: the rule's own parameters; ``since`` and ``until`` are added.
    """
    connection = _parser().cursor()
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return [
                f"exactly one SELECT is needed; here: {', '.join(str(s.type.name) for s in statements) or 'nothing'}"
            ]
        bound = set(statements[0].named_parameters)
        row = connection.execute("select json_serialize_sql($sql)", {"sql": statements[0].query}).fetchone()
        tree = json.loads(row[0]) if row else {}
    except duckdb.Error as error:
        return [str(error).splitlines()[0]]
    finally:
        connection.close()
    if tree.get("error"):
        return [str(tree.get("error_message"))]
    found = list(_tree_problems(tree["statements"]))
    expected = parameters | {"since", "until"}
    found += [f"${name} is not used: bind it" for name in sorted(expected - bound)]
    found += [
        f"${name} bounds nothing: compare a column of time with it, or give it to a macro"
        for name in ("since", "until")
        if name in bound and not _bounds(tree["statements"], name)
    ]
    found += [f"${name} is bound and not declared under parameters" for name in sorted(bound - expected)]
    return found


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """An empty database that only parses; opening one takes longer than parsing a rule."""
    return duckdb.connect(":memory:", config={"enable_external_access": "false", "threads": 1})


def _tree_problems(statements: list[Any]) -> Iterator[str]:
    nodes = list(_walk(statements))
    own = {entry["key"].lower() for node in nodes for entry in (node.get("cte_map") or {}).get("map", [])}
    for node in nodes:
        kind = node.get("type")
        if kind == "BASE_TABLE":
            name = str(node.get("table_name")).lower()
            if node.get("catalog_name") or node.get("schema_name"):
                yield f"{node['schema_name']}.{name}: name views without schema"
            elif name not in ALLOWED_VIEWS and name not in own:
                yield f"{name}: no view that a rule may read; they are {', '.join(sorted(ALLOWED_VIEWS))}"
        elif kind == "TABLE_FUNCTION":
            function = str((node.get("function") or {}).get("function_name")).lower()
            if function not in _TABLE_FUNCTIONS:
                yield f"{function}(): no table function that a rule may use"
        elif node.get("class") == "FUNCTION" and str(node.get("function_name")).lower() in _REFUSED_FUNCTIONS:
            yield f"{node['function_name']}(): a rule may depend on its window only"


def _bounds(statements: list[Any], name: str) -> bool:
    """Whether a parameter is compared with a column, or is what a table function is asked for."""
    for node in _walk(statements):
        of_table = node.get("type") == "TABLE_FUNCTION"
        if not of_table and node.get("class") not in {"COMPARISON", "BETWEEN"}:
            continue
        parts = list(_walk([node]))
        if any(part.get("class") == "PARAMETER" and part.get("identifier") == name for part in parts) and (
            of_table or any(part.get("class") == "COLUMN_REF" for part in parts)
        ):
            return True
    return False


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
