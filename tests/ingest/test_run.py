"""One suite over the embedded broker and Apache Kafka; what only transactions promise, over Apache Kafka."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl
import pytest

from pipeline.config import Settings
from pipeline.errors import BrokerUnavailableError, InputNotFoundError
from pipeline.events.chain import Following
from pipeline.events.decode import Decoder
from pipeline.events.schema import Decoded
from pipeline.faults import FAULT_POINTS
from pipeline.ingest.outbound import account_partition
from tests.ingest.bench import BROKEN, Bench, bench, event, wait_until
from tests.kafka.server import KafkaServer, free_ports

INGEST_POINTS = [point for point in FAULT_POINTS if point.startswith("ingest.")]


class HasBootstrap(Protocol):
    @property
    def bootstrap(self) -> str: ...


def ids(frame: pl.DataFrame) -> list[str]:
    return sorted(frame["event_id"].to_list())


def expected(count: int, start: int = 0) -> list[str]:
    return [f"evt-{number:06d}" for number in range(start, start + count)]


@pytest.fixture
def made(broker: HasBootstrap, tmp_path: Path) -> Iterator[Bench]:
    with bench(broker.bootstrap, tmp_path) as one:
        yield one


@pytest.mark.broker
def test_events_go_to_their_accounts_partition_and_broken_ones_to_the_dead_letters(made: Bench) -> None:
    made.send([*(event(number) for number in range(300)), BROKEN, b""])
    made.send([b"\n".join(event(number) for number in range(300, 400))])
    running = made.thread()
    events, dead = made.events(400), made.dead(2)
    running.end()
    assert ids(events) == expected(400)
    assert events.filter(
        pl.col("_partition")
        != pl.col("account_id").map_elements(lambda one: account_partition(one, 2), return_dtype=pl.Int64)
    ).is_empty()
    assert sorted(dead["reason"]) == ["empty_message", "invalid_json"]
    assert set(dead["source_topic"]) == {made.settings.topics.requests}
    assert running.metrics.value("ingest_messages") == 303
    assert running.metrics.value("ingest_events", format="native") == 400
    assert sum(offset or 0 for offset in made.committed().values()) == 303


@pytest.mark.broker
def test_an_empty_topic_and_an_end_at_once(made: Bench) -> None:
    running = made.thread()
    time.sleep(1)
    running.end()
    assert made.events(0, timeout_s=1).is_empty()


@pytest.mark.broker
def test_what_waits_for_its_trace_is_not_committed_and_comes_with_the_next_poll(made: Bench) -> None:
    class Holding:
        """Holds everything from the message marked ``hold`` on, until one marked ``release`` is handed in with it."""

        def __init__(self) -> None:
            self.decoder = Decoder(made.settings)
            self.calls: list[list[int]] = []

        def decode(self, raw: pl.DataFrame, *, now: datetime, hold_after: float | None = None) -> Decoded:
            assert hold_after is not None
            self.calls.append(raw["offset"].to_list())
            marked = raw.filter(pl.col("value").bin.contains(b"hold-me"))
            if marked.height and not raw["value"].bin.contains(b"release").any():
                offset = int(marked["offset"][0])
                inner = self.decoder.decode(raw.filter(pl.col("offset") < offset), now=now)
                return Decoded(inner.events, inner.dead, inner.ignored, {(marked["topic"][0], 0): offset})
            return self.decoder.decode(raw, now=now)

    holding = Holding()
    made.send([event(0), event(1, user_id="hold-me"), event(2)], partition=0)
    running = made.thread(decoder=holding)
    assert ids(made.events(1)) == expected(1)
    assert made.committed()[0] == 1
    made.send([event(3, user_id="release")], partition=0)
    events = made.events(4)
    running.end()
    assert ids(events) == expected(4)
    assert made.committed()[0] == 4
    assert [1, 2, 3] in holding.calls
    assert running.metrics.value("ingest_messages") == 4


class Stubborn:
    """Holds all until told otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.decoder = Decoder(settings)
        self.release = False
        self.most_bytes = 0
        self.held: dict[int, int] = {}  # rows by partition, as last seen

    def decode(self, raw: pl.DataFrame, *, now: datetime, hold_after: float | None = None) -> Decoded:
        del hold_after
        self.most_bytes = max(self.most_bytes, int(raw["value"].bin.size().sum()))
        self.held = dict(raw.group_by("partition").len().iter_rows())
        if self.release:
            return self.decoder.decode(raw, now=now)
        empty = self.decoder.decode(raw.clear(), now=now)
        first = raw.group_by("topic", "partition").agg(pl.col("offset").min())
        return Decoded(
            empty.events, empty.dead, 0, {(topic, partition): offset for topic, partition, offset in first.iter_rows()}
        )


@pytest.mark.broker
def test_partitions_pause_when_the_buffer_is_full_and_resume(broker: HasBootstrap, tmp_path: Path) -> None:
    with bench(broker.bootstrap, tmp_path, buffer_bytes=200_000) as made:
        stubborn = Stubborn(made.settings)
        made.send([event(number, endpoint="x" * 2000) for number in range(600)])  # 1.3 MB
        running = made.thread(decoder=stubborn)
        wait_until(lambda: running.metrics.value("ingest_paused_partitions") == 2)
        time.sleep(1)
        assert stubborn.most_bytes < 600_000
        stubborn.release = True
        assert ids(made.events(600)) == expected(600)
        wait_until(lambda: running.metrics.value("ingest_paused_partitions") == 0)
        running.end()


@pytest.mark.broker
def test_what_is_held_is_read_again_when_its_partition_stays_over_a_rebalance(made: Bench) -> None:
    holding = [Stubborn(made.settings), Stubborn(made.settings)]
    for partition in (0, 1):
        made.send((event(number) for number in range(partition * 50, partition * 50 + 50)), partition=partition)
    running = [made.thread(decoder=holding[0])]
    wait_until(lambda: holding[0].held == {0: 50, 1: 50})
    running.append(made.thread(decoder=holding[1]))
    wait_until(lambda: list(holding[1].held.values()) == [50])  # and the other partition stays with the first
    for one in holding:
        one.release = True
    assert ids(made.events(100)) == expected(100)
    for each in running:
        each.end()
    assert made.committed() == {0: 50, 1: 50}


@pytest.mark.broker
def test_a_second_ingest_joins_the_first_leaves_and_nothing_is_lost(made: Bench) -> None:
    first = made.thread()
    sent = made.send(event(number) for number in range(200))
    made.events(sent)
    second = made.thread()
    for _ in range(10):
        sent += made.send(event(number) for number in range(sent, sent + 50))
        time.sleep(0.4)
    first.end()
    sent += made.send(event(number) for number in range(sent, sent + 200))
    events = made.events(sent)
    second.end()
    assert sorted(set(ids(events))) == expected(sent)
    assert second.metrics.value("ingest_messages") > 0


@pytest.mark.broker
def test_sigterm_finishes_the_batch_and_leaves(made: Bench) -> None:
    process = made.process()
    sent = made.send(event(number) for number in range(500))
    made.events(1)
    process.terminate()
    assert process.wait(25) == 0, made.log()
    rest = made.process()
    events = made.events(sent)
    assert ids(events) == expected(sent)
    # Where the first had time for all, the events do not tell that the second has come so far as to hear a signal.
    wait_until(lambda: made.log().count("ingest_started") == 2)
    rest.terminate()
    assert rest.wait(25) == 0, made.log()


@pytest.mark.broker
def test_a_topic_that_does_not_exist(broker: HasBootstrap, tmp_path: Path) -> None:
    with bench(broker.bootstrap, tmp_path) as made:
        topics = made.settings.topics.model_copy(update={"requests": "there.is.none", "create": False})
        running = made.thread(settings=made.settings.model_copy(update={"topics": topics}))
        running.thread.join(20)
        assert isinstance(running.error, InputNotFoundError)
        assert "there.is.none" in str(running.error)


def test_no_broker_at_the_start(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        pytest.raises(BrokerUnavailableError, match="KAFKA_BOOTSTRAP"),
        bench(f"127.0.0.1:{free_ports(1)[0]}", tmp_path),
    ):
        pass
    assert time.monotonic() - started < 15


@pytest.mark.kafka
def test_killed_at_each_step_every_message_counts_once(kafka: KafkaServer, tmp_path: Path) -> None:
    with bench(kafka.bootstrap, tmp_path) as made:
        sent = broken = 0
        for point in INGEST_POINTS:
            doomed = made.process(fault=point)
            sent += made.send(event(number) for number in range(sent, sent + 200))
            broken += made.send([BROKEN] * 3)
            assert doomed.wait(60) == -signal.SIGKILL, made.log()
        made.process()
        made.events(sent, timeout_s=60)
        sent += made.send(event(number) for number in range(sent, sent + 100))
        events, dead = made.events(sent), made.dead(broken)
        assert ids(events) == expected(sent)
        assert dead.height == broken
        assert dead.unique(["source_partition", "source_offset"]).height == broken
        assert_none_missing(made, sent)


def assert_none_missing(made: Bench, events: int) -> None:
    """As a worker reads it, every batch is numbered and none is missing."""
    numbered = made.numbered(events)
    following: dict[int, Following] = {}
    assert all(number for _, number in numbered)
    assert sum(following.setdefault(at, Following()).missing(number) for at, number in numbered) == 0
    assert len({number for at, number in numbered if at == 0}) > 1


@pytest.mark.kafka
def test_with_transactions_a_rebalance_doubles_nothing(kafka: KafkaServer, tmp_path: Path) -> None:
    with bench(kafka.bootstrap, tmp_path, partitions=4) as made:
        running = [made.thread()]
        sent = 0
        for turn in range(12):
            if turn == 3:
                running.append(made.thread())
            if turn == 8:
                running[0].end()
            sent += made.send(event(number) for number in range(sent, sent + 300))
            time.sleep(0.3)
        assert ids(made.events(sent)) == expected(sent)
        running[1].end()


@pytest.mark.kafka
@pytest.mark.parametrize("away", ["killed", "frozen"])
def test_a_broker_that_goes_away_is_waited_for(tmp_path: Path, apache_kafka: KafkaServer, away: str) -> None:
    del apache_kafka  # only that the jars are there
    server = KafkaServer(tmp_path)
    server.start()
    try:
        with bench(server.bootstrap, tmp_path) as made:
            running = made.thread()
            sent = made.send(event(number) for number in range(100))
            made.events(sent)
            if away == "killed":
                server.kill()
            else:
                server.freeze()
            time.sleep(5)
            assert running.thread.is_alive()
            if away == "killed":
                server.start()
            else:
                server.thaw()
            sent += made.send(event(number) for number in range(sent, sent + 100))
            assert ids(made.events(sent, timeout_s=60)) == expected(sent)
            assert_none_missing(made, sent)
            running.end()
    finally:
        server.kill()
