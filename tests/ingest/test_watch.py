"""A member that the group has forgotten, or that waits for nothing, and one that waits with reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka.protocol.consumer import SyncGroupRequest

from pipeline.broker import EmbeddedBroker, has_transactions, unheld
from pipeline.clock import ManualClock
from pipeline.events.decode import Decoder
from pipeline.ingest.run import Ingest
from pipeline.ingest.watch import Watch
from pipeline.metrics import Metrics
from tests.ingest.bench import Bench, bench, event, wait_until
from tests.ingest.test_run import HasBootstrap, expected, ids
from tests.ingest.valve import Valve
from tests.kafka.server import KafkaServer

BOTH = frozenset({0, 1})


class Stepped:
    """An ingest that a test steps, and its clock."""

    def __init__(self, made: Bench) -> None:
        self.clock = ManualClock(wall=datetime.now(UTC))
        self.metrics = Metrics()
        self.ingest = Ingest(
            made.settings,
            Decoder(made.settings),
            clock=self.clock,
            metrics=self.metrics,
            partitions=made.settings.topics.partitions,
            transactions=has_transactions(made.settings),
        )

    @property
    def renewed(self) -> float:
        return self.metrics.value("ingest_consumers_renewed")

    def until(self, what: Callable[[], object]) -> None:
        def reached() -> object:
            self.ingest.step()
            return what()

        wait_until(reached)


@contextmanager
def stepped(made: Bench, count: int = 1) -> Iterator[list[Stepped]]:
    all_of_them = [Stepped(made) for _ in range(count)]
    try:
        yield all_of_them
    finally:
        for one in all_of_them:
            one.ingest.close()


def free(made: Bench) -> frozenset[int] | None:
    return unheld(made.settings, made.settings.ingest.group, made.settings.topics.requests)


def test_a_watch_speaks_once_a_limit() -> None:
    clock = ManualClock()
    watch = Watch(60, clock)
    clock.advance(59)
    assert not watch.overdue(working=False)
    clock.advance(1)
    assert watch.overdue(working=False)
    assert not watch.overdue(working=False)
    clock.advance(59)
    assert not watch.overdue(working=True)
    clock.advance(59)
    assert not watch.overdue(working=False)
    clock.advance(1)
    assert watch.overdue(working=False)


@pytest.mark.kafka
@pytest.mark.parametrize("told", [True, False], ids=["the broker tells who is in a group", "and does not"])
def test_a_member_whose_join_never_ends_is_made_anew_and_loses_nothing(
    kafka: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    # As the embedded broker does, which is not used here: the member made anew got nothing from it for 30 s, at times.
    if not told:
        monkeypatch.setattr("pipeline.ingest.run.unheld", lambda *_: None)
    with bench(kafka.bootstrap, tmp_path) as made, stepped(made) as [one]:
        valve = Valve(one.ingest.member.consumer, SyncGroupRequest)
        valve.shut()
        made.send(event(number) for number in range(20))

        one.until(lambda: valve.kept)
        # The broker waits for its heartbeats in vain.
        one.until(lambda: free(made) == BOTH)
        one.clock.advance(made.settings.ingest.rejoin_after_s - 1)
        one.ingest.step()
        assert one.renewed == 0
        one.clock.advance(1)
        one.until(lambda: one.metrics.value("ingest_messages") == 20)
        assert one.renewed == 1
        assert ids(made.events(20)) == expected(20)


@pytest.mark.broker
def test_one_member_too_many_waits_and_is_left_in_peace(broker: HasBootstrap, tmp_path: Path) -> None:
    with bench(broker.bootstrap, tmp_path, partitions=1) as made, stepped(made, 2) as both:

        def settled() -> bool:
            for one in both:
                one.ingest.step()
            members = [one.ingest.member for one in both]
            return all(one.joined for one in members) and sum(one.working for one in members) == 1

        # Two members in one thread hinder each other: on a busy machine it takes several rounds.
        wait_until(settled, 120)
        for one in both:
            one.clock.advance(2 * made.settings.ingest.rejoin_after_s)
        assert settled()
        assert [one.renewed for one in both] == [0, 0]


@pytest.mark.kafka
def test_what_nobody_in_a_group_reads(kafka: KafkaServer, tmp_path: Path) -> None:
    with bench(kafka.bootstrap, tmp_path) as made:
        assert free(made) == BOTH
        assert unheld(made.settings, "nobody", "there.is.none") == frozenset()
        with stepped(made) as [one]:
            one.until(lambda: one.ingest.member.working)
            assert free(made) == frozenset()


@pytest.mark.broker
def test_the_embedded_broker_does_not_tell(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    # Not once the member works: in one run of CI the embedded broker had not let it join after 30 s.
    with bench(embedded_broker.bootstrap, tmp_path) as made, stepped(made) as [one]:
        one.until(lambda: free(made) is None)


def test_a_broker_that_is_away_is_no_reason(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, bench(broker.bootstrap, tmp_path) as made, stepped(made) as [one]:
        broker.__exit__(None, None, None)
        one.clock.advance(2 * made.settings.ingest.rejoin_after_s)
        one.ingest.step()
        assert one.renewed == 0
