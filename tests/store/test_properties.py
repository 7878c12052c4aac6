"""Whatever way a log is cut, repeated and folded, the store ends up with what the oracle counted from it once.

The simulated worker keeps the promises that a real one gives: it starts at a committed offset, its deltas are
contiguous, and it commits only what it has emitted. Everything else is at Hypothesis's choice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import Delta
from pipeline.store import Store, apply_deltas, fold, new_epoch
from pipeline.store.compact import compact
from pipeline.store.fold import Folder
from tests.store.made import START, Event, delta, frame, memory_store, minutes, rows
from tests.store.test_fold import problems

EVENTS = st.lists(
    st.builds(
        Event,
        account=st.sampled_from(["a", "b", "c"]),
        at_s=st.integers(0, 3 * 3600).map(float),
        tokens=st.integers(0, 50),
    ),
    min_size=1,
    max_size=14,
)
# emit n more events, commit, restart at the committed offset, hand to the store, zombie, fold, a turn of one, merge
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 4)),
        st.tuples(
            st.sampled_from(["commit", "restart", "apply", "again", "zombie", "fold", "turn", "merge", "heartbeat"]),
            st.integers(0, 3 * 3600),
        ),
    ),
    max_size=25,
)


@dataclass
class Worker:
    """One source partition with its log of events, and the log of deltas that came of it."""

    events: list[Event]
    emitted: int = 0
    committed: int = 0
    generation: int = 1
    log: list[Delta] = field(default_factory=list)
    handed: int = 0  # of the log, to the store
    last_batch: int = 0

    def emit(self, count: int) -> None:
        to = min(len(self.events), self.emitted + count)
        newest = max((event.at_s for event in self.events[:to]), default=0)
        if to > self.emitted:
            self.log.append(
                delta(
                    self.emitted,
                    to,
                    self.events[self.emitted : to],
                    generation=self.generation,
                    committed=self.committed,
                    watermark_s=newest,
                )
            )
            self.emitted = to

    def restart(self) -> None:
        self.generation += 1
        self.emitted = self.committed


def oracle(events: list[Event]) -> dict[tuple[str, int], tuple[int, int]]:
    count: Counter[tuple[str, int]] = Counter()
    tokens: Counter[tuple[str, int]] = Counter()
    for event in events:
        key = (event.account, int(event.at_s // 60))
        count[key] += 1
        tokens[key] += event.tokens
    return {key: (count[key], tokens[key]) for key in count}


def summed(store: Store) -> list[tuple[object, ...]]:
    """What the store says of the accounts' prompts."""
    return rows(
        store, "select account_id, hour, events, prompt_sum from prompt_distributions order by account_id, hour"
    )


def heard(store: Store) -> list[tuple[object, ...]]:
    """What the store has of passages, as readers add it up."""
    return rows(
        store,
        """
        select account_id, hour, output, passage, sum(events), min(first_seen)
        from (
            select * from loop_hour
            union all
            select * exclude (source_partition, from_offset) from loop_delta
        ) as both_kinds
        group by all
        order by all
        """,
    )


def summed_once(events: list[Event]) -> list[tuple[object, ...]]:
    """The same, of all events at once."""
    return distributions(frame(events)).rows()


def step(store: Store, folder: Folder, worker: Worker, what: str, number: int) -> None:
    match what:
        case "emit":
            worker.emit(number)
        case "commit":
            worker.committed = max(worker.committed, worker.emitted)
        case "restart":
            worker.restart()
        case "heartbeat":
            worker.log.append(
                delta(worker.emitted, worker.emitted, generation=worker.generation, committed=worker.committed)
            )
        case "apply" | "again":
            begin = worker.last_batch if what == "again" else worker.handed
            end = len(worker.log)
            with store.transaction() as tx:
                assert not apply_deltas(tx, worker.log[begin:end]).holes
            worker.last_batch, worker.handed = begin, end
        case "zombie" if worker.generation > 1 and worker.handed == len(worker.log) and worker.log:
            if worker.log[-1].generation == worker.generation:
                late = delta(0, 2, [Event("zombie", 5)], generation=worker.generation - 1)
                with store.transaction() as tx:
                    assert len(apply_deltas(tx, [late]).refused) == 1
        case "fold":
            with store.transaction() as tx:
                fold(tx, watermark=START + timedelta(seconds=number))
        case "turn":
            with store.transaction() as tx:
                folder.turn(tx, START + timedelta(seconds=number))
        case "merge":
            with store.transaction() as tx:
                compact(tx, START + timedelta(seconds=number), min_added=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=EVENTS, steps=STEPS)
def test_any_valid_log_gives_what_the_oracle_counts(events: list[Event], steps: list[tuple[str, int]]) -> None:
    with memory_store() as store:
        worker, folder = Worker(events), Folder(chunk_rows=5)
        for what, number in steps:
            step(store, folder, worker, what, number)
        worker.emit(len(events))
        step(store, folder, worker, "apply", 0)
        assert minutes(store) == oracle(events)
        assert summed(store) == summed_once(events)
        assert heard(store) == loops(frame(events)).rows()
        assert problems(store) == []
        step(store, folder, worker, "commit", 0)
        step(store, folder, worker, "heartbeat", 0)
        step(store, folder, worker, "apply", 0)
        step(store, folder, worker, "fold", 20 * 3600)
        assert minutes(store) == oracle(events)
        assert summed(store) == summed_once(events)
        assert heard(store) == loops(frame(events)).rows()
        assert problems(store) == []
        assert rows(store, "select count(*) from pane_delta") == [(0,)]
        assert rows(store, "select count(*) from distribution_delta") == [(0,)]
        assert rows(store, "select count(*) from loop_delta") == [(0,)]
        hours = rows(store, "select sum(events), sum(output_tokens) from fingerprints_1h where kind = 'account'")
        assert hours == [(len(events), sum(event.tokens for event in events))]
        assert rows(store, "select sum(events) from accounts") == [(len(events),)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=EVENTS, second=EVENTS, committed=st.booleans())
def test_after_the_broker_was_made_anew_offsets_begin_again(
    first: list[Event], second: list[Event], *, committed: bool
) -> None:
    with memory_store() as store:
        worker = Worker(first, generation=7)
        worker.emit(len(first))
        worker.committed = len(first) if committed else 0
        step(store, Folder(), worker, "apply", 0)
        with store.transaction() as tx:
            new_epoch(tx)
        worker = Worker(second)
        worker.emit(1)
        worker.emit(len(second))
        step(store, Folder(), worker, "apply", 0)
        assert minutes(store) == oracle(first + second)
        assert summed(store) == summed_once(first + second)
        assert heard(store) == loops(frame(first + second)).rows()
        assert problems(store) == []
