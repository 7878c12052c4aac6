"""What the SQL of a rule may be."""

from __future__ import annotations

import pytest

from pipeline.rules.lint import problems

WINDOW = "hour >= $since and hour < $until"


def wrong(sql: str, *parameters: str) -> str:
    return "; ".join(problems(sql, frozenset(parameters)))


def test_a_bound_select_over_views_may_run() -> None:
    sql = f"with few as (from links where {WINDOW} limit $top) select * from few, unnest([1, 2]) as t (n)"
    assert problems(sql, frozenset({"top"})) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (f"select 1 from links where {WINDOW}; drop table signal", "exactly one SELECT"),
        ("delete from signal", "exactly one SELECT"),
        ("insert into signal select * from signal", "exactly one SELECT"),
        ("copy links to 'x'", "exactly one SELECT"),
        ("attach 'x' as y", "exactly one SELECT"),
        ("set threads = 1", "exactly one SELECT"),
        ("pragma database_list", "pragma_database_list: no view"),
        ("", "nothing"),
        ("selec 1", "syntax error"),
        (f"select * from outbox where {WINDOW}", "outbox: no view"),
        (f"select * from webhook_endpoint, links where {WINDOW}", "webhook_endpoint: no view"),
        (f"select * from main.links where {WINDOW}", "without schema"),
        (f"select * from links, read_csv('/etc/passwd') where {WINDOW}", "read_csv()"),
        (f"select * from links, (from '/etc/passwd') where {WINDOW}", "/etc/passwd: no view"),
        (f"select * from links where {WINDOW} and (select count(*) from duckdb_settings()) > 0", "duckdb_settings()"),
        (f"select * from links, query('select 1') where {WINDOW}", "query()"),
        (f"select now() from links where {WINDOW}", "window only"),
        (f"select random() from links where {WINDOW}", "window only"),
        (f"select getenv('HOME') from links where {WINDOW}", "window only"),
        ("select * from links", "$since is not used"),
        ("select * from links where hour >= $since", "$until is not used"),
        (f"select $limit from links where {WINDOW}", "$limit is bound and not declared"),
    ],
)
def test_everything_else_is_refused_and_says_why(sql: str, said: str) -> None:
    assert said in wrong(sql)


def test_a_declared_parameter_must_be_used() -> None:
    assert "$top is not used" in wrong(f"select 1 from links where {WINDOW}", "top")


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 from links where $since < $until",
        "select $since, $until from links",
        "select 1 from links where hour >= now() and abs(epoch($since)) < epoch($until)",
    ],
)
def test_a_window_that_bounds_no_column_is_none(sql: str) -> None:
    assert "$since bounds nothing" in wrong(sql)
    assert "$until bounds nothing" in wrong(sql)


@pytest.mark.parametrize(
    "where",
    [
        "hour >= $since::timestamptz and hour < $until::timestamptz",
        "hour between $since and $until",
        "source_id in (select account_id from active_accounts($since, $until))",
        "hour + interval 1 hour > $since and not hour >= $until",
    ],
)
def test_a_window_may_be_bound_in_several_ways(where: str) -> None:
    assert problems(f"select 1 from links where {where}", frozenset()) == []
