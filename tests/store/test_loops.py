"""Who sends to the model what it said to whom: joined when it is asked, whatever came first and however it was cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.cli.saved import saved_queries
from pipeline.fingerprint.schema import PASSAGES_KEPT
from pipeline.store import fold
from pipeline.store.query import run_query
from pipeline.testing import Bench

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def said(account: str, at_s: float, *passages: int) -> dict[str, Any]:
    return _event(account, at_s, loop_out=passages)


def sent(account: str, at_s: float, *passages: int) -> dict[str, Any]:
    return _event(account, at_s, loop_in=passages)


def _event(account: str, at_s: float, **lists: tuple[int, ...]) -> dict[str, Any]:
    content = {name: [f"{value:016x}" for value in values] for name, values in lists.items()}
    return {"account_id": account, "timestamp": START + timedelta(seconds=at_s), "content": content}


def found(bench: Bench, hours: float = 5) -> list[tuple[Any, ...]]:
    """From, to, passages, outputs, requests, audience, delay."""
    return bench.sql(
        """
        select * exclude (first_seen, last_seen)
        from output_loops($begin, $end)
        order by all
        """,
        {"begin": START, "end": START + timedelta(hours=hours)},
    ).rows()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([said("a", 0, 1, 2), sent("b", 60, 1, 2)], [("a", "b", 2, 1, 2, 1.0, 60.0)]),
        ([said("a", 0, 1), said("a", 9, 2), sent("b", 60, 1, 2, 3)], [("a", "b", 2, 2, 2, 1.0, 55.5)]),
        ([said("a", 0, 1), sent("b", 60, 1), sent("b", 70, 1)], [("a", "b", 1, 1, 2, 1.0, 60.0)]),
        ([said("a", 0, 1), sent("a", 60, 1)], [("a", "a", 1, 1, 1, 1.0, 60.0)]),
        # Who has it from his own answers does not have it from another's.
        ([said("a", 0, 1), said("b", 5, 1), sent("b", 60, 1)], [("b", "b", 1, 1, 1, 1.0, 55.0)]),
        (
            [said("a", 0, 1), sent("b", 60, 1), sent("c", 80, 1)],
            [("a", "b", 1, 1, 1, 2.0, 60.0), ("a", "c", 1, 1, 1, 2.0, 80.0)],
        ),
        # Cleaned or translated: what answers repeat of their request is not theirs.
        (
            [said("a", 0, 1), _event("b", 60, loop_in=(1,), loop_out=(1,)), sent("c", 90, 1)],
            [("a", "b", 1, 1, 1, 2.0, 60.0), ("a", "c", 1, 1, 1, 2.0, 90.0)],
        ),
        ([sent("a", 0, 1), said("a", 0, 1), sent("b", 60, 1)], []),
        # Somebody sent it before the model said it to anybody: it stands somewhere.
        ([sent("c", 0, 1), said("a", 5, 1), sent("b", 60, 1)], []),
        ([said("a", 60, 1), sent("b", 60, 1)], []),
        # Three may have been told the same; what four were told is a phrase of the model's.
        ([said(name, 0, 1) for name in "dca"] + [sent("b", 60, 1)], [("a", "b", 1, 1, 1, 1.0, 60.0)]),
        ([said(name, 0, 1) for name in "dcae"] + [sent("b", 60, 1)], []),
        ([said("a", 0, 1)], []),
        ([sent("a", 0, 1)], []),
    ],
)
def test_a_loop_is_what_the_model_said_first(events: list[dict[str, Any]], expected: list[tuple[Any, ...]]) -> None:
    with Bench() as bench:
        bench.add_events(events)
        assert found(bench) == expected
    with Bench() as bench:
        for one in events[::-1]:
            bench.add_events([one])
        assert found(bench) == expected
        with bench.store.transaction() as tx:
            tx.execute("update partition_state set committed = applied_to")
            fold(tx, watermark=START + timedelta(hours=9))
        assert bench.sql("select count(*) as rows from loop_delta").rows() == [(0,)]
        assert found(bench) == expected


def test_only_what_is_in_the_window_counts() -> None:
    with Bench() as bench:
        bench.add_events([said("a", 0, 1), sent("b", 2 * 3600, 1)])
        assert len(found(bench, 3)) == 1
        assert found(bench, 2) == []


def test_of_more_passages_than_are_kept_the_same_count_however_they_came() -> None:
    many = [said("a", number, *range(8 * number, 8 * number + 8)) for number in range(PASSAGES_KEPT // 8 * 2)]
    back = [sent("b", 600 + number, *range(8 * number, 8 * number + 8)) for number in range(len(many))]
    results = []
    for order in ([many + back], [[one] for one in back[::-1] + many[::-1]]):
        with Bench() as bench:
            for part in order:
                bench.add_events(part)
            results.append(found(bench))
    assert results[0] == results[1]
    assert results[0][0][2] == PASSAGES_KEPT


def test_the_saved_question_adds_up_who_is_fed_by_whom() -> None:
    query = next(query for query in saved_queries() if query.name == "who_feeds_outputs_back")
    with Bench() as bench:
        bench.add_accounts([{"account_id": name, "organisation": "One"} for name in ("a", "b")])
        bench.add_events(
            [said(name, place, place) for place, name in enumerate("abcd", 1)]
            + [sent("judge", 100, 1, 2, 3), sent("d", 200, 4)]
        )
        for own, expected in ((0, ["judge"]), (1, ["judge", "d"])):
            table = run_query(
                bench.store, query.sql, params={**query.defaults, "own": own}, timeout_s=20, max_rows=100
            ).table.to_pylist()
            assert [row["to_account"] for row in table] == expected
            assert (table[0]["from_accounts"], table[0]["from_customers"], table[0]["outputs"]) == (3, 2, 3)
