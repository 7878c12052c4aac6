"""Workers as processes over real brokers: killed at each step of the promise, rebalanced, fed what is damaged.

Over the embedded broker only what is quick: it keeps a member that left for its session timeout.
"""

from __future__ import annotations

import io
import signal
import socket
import time
from pathlib import Path
from typing import Protocol

import polars as pl
import pytest
from kafka import KafkaConsumer, TopicPartition
from polars.testing import assert_frame_equal

from pipeline.events.schema import DEAD_LETTERS
from pipeline.faults import FAULT_POINTS
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from tests.fingerprint.replay import Bench, bench, merged
from tests.fingerprint.sample import sample
from tests.kafka.server import KafkaServer

WORKER_POINTS = [point for point in FAULT_POINTS if point.startswith("worker.")]


class HasBootstrap(Protocol):
    @property
    def bootstrap(self) -> str: ...


def batches(count: int, *, seed: int = 1, rows: int = 40) -> list[tuple[int, pl.DataFrame]]:
    """Batches for two partitions, alternating; the accounts of a partition occur in no other."""
    return [
        (
            number % 2,
            sample(rows, seed=seed * 1000 + number).with_columns(
                account_id=pl.lit(f"{number % 2}-") + pl.col("account_id")
            ),
        )
        for number in range(count)
    ]


def whole(sent: list[tuple[int, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat([frame for _, frame in sent])


def assert_counted_once(made: Bench, sent: list[tuple[int, pl.DataFrame]], *, group: str = "") -> None:
    events = whole(sent)
    panes, links = aggregate(events)
    got = merged(made.deltas(events=events.height, group=group))
    assert_frame_equal(got[0], panes)
    assert_frame_equal(got[1], links)
    assert_frame_equal(got[2], distributions(events))
    assert_frame_equal(got[3], loops(events))


@pytest.mark.kafka
def test_killed_at_each_step_every_event_counts_once(kafka: HasBootstrap, tmp_path: Path) -> None:
    # One group a fault point, all over the same events: the kills and the wait for the dead member overlap.
    groups = tuple(f"-{point.removeprefix('worker.')}" for point in WORKER_POINTS)
    sent = batches(12)
    with bench(kafka.bootstrap, tmp_path, groups) as made:
        for start in range(0, 12, 4):  # a transaction marker between every two batches of a partition, and more
            made.send(sent[start : start + 4], transaction="commit")
        doomed = {
            group: made.worker(group=group, fault=point) for group, point in zip(groups, WORKER_POINTS, strict=True)
        }
        for group, process in doomed.items():
            assert process.wait(60) == -signal.SIGKILL, made.log(group)
            made.worker(group=group)
        more = batches(4, seed=2)
        made.send(more, transaction="commit")
        for group in groups:
            assert_counted_once(made, sent + more, group=group)


@pytest.mark.broker
def test_a_killed_worker_is_taken_over(broker: HasBootstrap, tmp_path: Path) -> None:
    sent = batches(8)
    with bench(broker.bootstrap, tmp_path) as made:
        made.send(sent)
        assert made.worker(fault="worker.delta_confirmed").wait(60) == -signal.SIGKILL, made.log()
        made.worker()
        more = batches(2, seed=2)  # beyond what the dead one had confirmed
        made.send(more)
        assert_counted_once(made, sent + more)


@pytest.mark.kafka
def test_a_second_worker_joins_and_the_first_leaves(kafka: HasBootstrap, tmp_path: Path) -> None:
    sent = batches(4)
    with bench(kafka.bootstrap, tmp_path) as made:
        made.send(sent)
        first = made.worker()
        made.deltas(events=whole(sent).height)
        made.worker()
        deadline = time.monotonic() + 40
        while made.log().count("partition_open") < 4 and time.monotonic() < deadline:
            more = batches(2, seed=made.log().count("partition_open") + len(sent) + 10)
            made.send(more)
            sent += more
            time.sleep(0.3)  # real processes: there is no clock to move here
        first.terminate()
        assert first.wait(30) == 0, made.log()
        more = batches(4, seed=3)
        made.send(more)
        assert_counted_once(made, sent + more)


@pytest.mark.kafka
def test_what_a_transaction_aborted_is_never_counted(kafka: HasBootstrap, tmp_path: Path) -> None:
    sent, aborted, more = batches(2), batches(4, seed=5), batches(2, seed=6)
    with bench(kafka.bootstrap, tmp_path) as made:
        made.send(sent, transaction="commit")
        made.send(aborted, transaction="abort")
        made.send(more, transaction="commit")
        made.worker()
        assert_counted_once(made, sent + more)


@pytest.mark.kafka
def test_duplicates_are_known_after_a_restart_and_a_damaged_batch_is_a_dead_letter(
    kafka: HasBootstrap, tmp_path: Path
) -> None:
    sent = batches(6)
    with bench(kafka.bootstrap, tmp_path) as made:
        made.send([*sent[:2], (0, b"ARROW1 but damaged"), *sent[2:]])
        first = made.worker()
        made.deltas(events=whole(sent).height)
        first.terminate()
        assert first.wait(30) == 0, made.log()
        retries = [(partition, frame.head(10)) for partition, frame in sent]
        made.send(retries)
        made.worker()
        total = whole(sent).height
        deltas = made.deltas(events=total + 60)
        assert sum(delta.duplicates for delta in deltas) == 60
        assert_frame_equal(merged(deltas)[0], aggregate(whole(sent))[0])
        [letter] = dead_letters(made)
        assert (letter["reason"], letter["source_partition"], letter["source_offset"]) == ("corrupt_batch", 0, 1)
        assert letter["payload"] == b"ARROW1 but damaged"


@pytest.mark.kafka
def test_told_to_stop_it_emits_commits_and_leaves(broker: HasBootstrap, tmp_path: Path) -> None:
    sent = batches(4)
    with bench(broker.bootstrap, tmp_path) as made:
        made.send(sent)
        worker = made.worker(emit_every_s="600")  # nothing is emitted before the end
        deadline = time.monotonic() + 30
        while made.log().count("partition_open") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.5)
        asked = time.monotonic()
        worker.terminate()
        assert worker.wait(30) == 0, made.log()
        assert time.monotonic() - asked < 8
        assert_counted_once(made, sent)


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka")  # skips or fails where there is none; the session's node is left running for others
def test_it_waits_for_a_broker_that_goes_away(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    server = KafkaServer(tmp_path / "kafka")
    sent = batches(4)
    try:
        server.start()
        with bench(server.bootstrap, tmp_path) as made:
            made.send(sent)
            worker = made.worker()
            made.deltas(events=whole(sent).height)
            server.kill()
            time.sleep(8)  # longer than the session timeout; a real broker has no clock to move
            server.start()
            more = batches(4, seed=2)
            made.send(more)
            assert_counted_once(made, sent + more)
            assert worker.poll() is None
    finally:
        server.kill()


def test_without_a_broker_it_says_so_and_ends(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        made = Bench(f"127.0.0.1:{taken.getsockname()[1]}", "nobody", tmp_path)
        try:
            assert made.worker().wait(40) == 69, made.log()
            assert "no broker answers" in made.log()
            assert "Traceback" not in made.log()
        finally:
            made.end()


def dead_letters(made: Bench) -> list[dict[str, object]]:
    consumer = KafkaConsumer(bootstrap_servers=made.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.assign([TopicPartition(made.dead_letter, number) for number in range(made.partitions)])
    found: list[dict[str, object]] = []
    deadline = time.monotonic() + 10
    while not found and time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=300).values():
            for message in messages:
                frame = pl.read_ipc(io.BytesIO(message.value))
                assert frame.schema == DEAD_LETTERS
                found += frame.to_dicts()
    consumer.close()
    return found
