"""Tallies merged in any order, as SQL reads them, and as they were before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from random import Random

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fingerprint.grouping import group
from pipeline.fingerprint.sketch import merge_tallies, tallies_of_version_3, tally_counts, tally_quantile
from pipeline.resources import sql_dir
from pipeline.sql_text import view_texts

MOST = 2**32 - 1  # that an entry could count up to delta version 3
CODES = st.integers(0, 4095)
TALLIES = st.lists(st.lists(st.builds(lambda code, count: count << 12 | code, CODES, st.integers(1, MOST))))
MACROS = ("request_kind", "tally_merge", "tally_counts", "tally_quantile", "request_kinds")


@cache
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    for name in MACROS:
        made.execute(view_texts()[name])
    return made


def counts(*tallies: Sequence[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for tally in tallies:
        for entry in tally:
            found[entry & 4095] += entry >> 12
    return found


def merged(*tallies: Sequence[int]) -> list[int]:
    column = pl.Series(tallies, dtype=pl.List(pl.UInt64))
    groups = group(np.zeros(len(tallies), dtype=np.int64), key_limit=1)
    [found] = merge_tallies(groups, column).to_list()
    return list(found)


@settings(deadline=None)
@given(TALLIES.filter(bool), st.randoms())
def test_merging_adds_counts_in_any_order_and_grouping(tallies: list[list[int]], random: Random) -> None:
    expected = [count << 12 | code for code, count in sorted(counts(*tallies).items())]
    assert merged(*tallies) == expected
    while len(tallies) > 1:
        random.shuffle(tallies)
        tallies = [merged(*tallies[:2]), *tallies[2:]]
    assert merged(*tallies) == expected


@settings(deadline=None, max_examples=50)
@given(TALLIES, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_sql_reads_what_the_worker_does(tallies: list[list[int]], quantile: float) -> None:
    tally = [entry for part in tallies for entry in part]
    [(together, of_first, middle)] = (
        connection()
        .execute("select tally_merge($t), tally_counts($t, 1), tally_quantile($t, 1, $q)", {"t": tally, "q": quantile})
        .fetchall()
    )
    assert together == (merged(tally) if len(tally) > 1 else tally)
    assert {entry["bucket"]: entry["count"] for entry in of_first} == tally_counts(tally, 1)
    assert middle == pytest.approx(tally_quantile(tally, 1, quantile))


@settings(deadline=None, max_examples=50)
@given(TALLIES)
def test_older_tallies_are_told_by_the_same_entries(tallies: list[list[int]]) -> None:
    older = [[(entry & 4095) << 32 | entry >> 12 for entry in tally] for tally in tallies]
    column = pl.Series(older, dtype=pl.List(pl.UInt64))
    assert tallies_of_version_3(column).to_list() == tallies
    assert tallies_of_version_3(column).dtype == column.dtype
    migration = (sql_dir("schema") / "0016_tally_entries.sql").read_text(encoding="utf-8")
    in_sql = migration.partition("set tally = ")[2].partition(";")[0]
    found = connection().execute(f"select {in_sql} from (select unnest($t::ubigint[][]) as tally)", {"t": older})
    assert [tally for (tally,) in found.fetchall()] == tallies
