"""A reader of numbered batches notices what is missing, and only that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.chain import CHAIN_HEADER, Following, Numbering, chain_of

# Transactions of one process: how many batches for the one partition, and whether it was committed.
transactions = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12)


def log_of(made: Sequence[tuple[int, bool]], session: str) -> list[bytes]:
    """The headers that a reader of committed batches meets."""
    numbering, log = Numbering(session), []
    for batches, commits in made:
        headers = [numbering.next(0) for _ in range(batches)]
        if commits:
            numbering.commit()
            log += headers
        else:
            numbering.abort()
    return log


@given(transactions, transactions, st.data())
def test_nothing_is_missing_whatever_was_aborted_and_wherever_the_reader_begins(
    one: list[tuple[int, bool]], other: list[tuple[int, bool]], data: st.DataObject
) -> None:
    logs = [log_of(one, "a"), log_of(other, "b")]
    merged = []
    while any(logs):
        merged.append(data.draw(st.sampled_from([log for log in logs if log])).pop(0))
    following = Following()
    begin = data.draw(st.integers(0, len(merged)))
    assert [following.missing(header) for header in merged[begin:]] == [0] * (len(merged) - begin)


@given(st.integers(3, 30), st.data())
def test_what_a_broker_lost_between_two_batches_is_counted(count: int, data: st.DataObject) -> None:
    log = log_of([(1, True)] * count, "a")
    lost = data.draw(st.sets(st.integers(1, count - 2)))
    following = Following()
    assert sum(following.missing(header) for at, header in enumerate(log) if at not in lost) == len(lost)


def test_a_commit_whose_outcome_nobody_knew_is_no_gap() -> None:
    numbering, following = Numbering("a"), Following()
    first, second = numbering.next(0), numbering.next(0)
    numbering.abort()  # though the broker had taken both
    third = numbering.next(0)
    numbering.commit()
    headers = [first, second, third, numbering.next(0)]
    assert [following.missing(header) for header in headers] == [0, 0, 0, 0]


def test_partitions_are_numbered_each_for_itself() -> None:
    numbering = Numbering("a")
    assert [numbering.next(0), numbering.next(1), numbering.next(0)] == [b"a:0", b"a:0", b"a:1"]


@pytest.mark.parametrize("header", [None, b"", b"a", b"a:", b":7", b"a:x", b"a:-1", b"a:\xb2", b"a:" + b"9" * 5000])
def test_a_header_that_is_no_number_says_nothing(header: bytes | None) -> None:
    following = Following()
    assert following.missing(b"a:1") == 0
    assert following.missing(header) == 0
    assert following.missing(b"a:2") == 0


def test_a_reader_remembers_so_many_sessions_and_no_more() -> None:
    following = Following()
    for number in range(5000):
        following.missing(f"session-{number}:0".encode())
    assert len(following._last) <= 1000


def test_the_number_is_found_among_other_headers() -> None:
    assert chain_of([("stillwatch-events", b"1"), (CHAIN_HEADER, b"a:0")]) == b"a:0"
    assert chain_of(None) is None
