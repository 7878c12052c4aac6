"""Bad days of the running commands over Apache Kafka: a clear word, and nothing lost when the day is over."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import httpx
import pytest
from kafka import KafkaProducer

from pipeline.serve.address import read_address
from tests.chaos.harness import Pipeline, Sender, differences, is_committed, running, settle
from tests.chaos.traffic import Traffic
from tests.kafka.server import KafkaServer

STAGES = ("ingest", "worker", "serve")
pytestmark = pytest.mark.kafka


def ready(pipeline: Pipeline) -> dict[str, object]:
    """What /readyz says; nothing yet: not ready."""
    address = read_address(pipeline.store)
    if address is None:
        return {"ready": False, "reasons": ["no address yet"]}
    try:
        return dict(httpx.get(f"{address.url}/readyz", trust_env=False, timeout=5).json())
    except httpx.HTTPError as error:
        return {"ready": False, "reasons": [str(error)]}


def wait_for(what: Callable[[], bool], timeout_s: float, told: Callable[[], object]) -> None:
    """Real processes have no clock to move: look until it is so."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def is_ready(pipeline: Pipeline) -> bool:
    return bool(ready(pipeline)["ready"])


def says(pipeline: Pipeline, words: str) -> bool:
    return words in json.dumps(ready(pipeline))


@pytest.fixture
def own_kafka(tmp_path: Path, apache_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A node that a test may take away."""
    del apache_kafka  # only that the jars are there
    (tmp_path / "kafka").mkdir()
    server = KafkaServer(tmp_path / "kafka")
    server.start()
    try:
        yield server
    finally:
        server.kill()  # a frozen one, too


@pytest.mark.timeout(300)
def test_a_broker_that_freezes_and_then_is_away_for_30_s_costs_nothing(own_kafka: KafkaServer, tmp_path: Path) -> None:
    traffic = Traffic(seed=30)
    pipeline = Pipeline(own_kafka.bootstrap, tmp_path, "away")
    with running(pipeline, STAGES):
        sender = Sender(pipeline)
        sender.send(traffic, 500)
        wait_for(lambda: is_ready(pipeline), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        own_kafka.freeze()
        time.sleep(8)  # longer than a session of the groups: they rebalance when it wakes
        own_kafka.thaw()
        sender.send(traffic, 500)
        # Not at once: a single node of Apache Kafka 4.3 that is killed between the decision to commit a transaction and
        # its last marker calls it complete at its restart and writes none; docs/promises.md says what is seen then.
        wait_for(lambda: is_committed(pipeline), 60, lambda: pipeline.log("ingest"))
        own_kafka.kill()
        time.sleep(32)  # longer than any request waits
        assert pipeline.died() == [], pipeline.log(pipeline.died()[0])
        own_kafka.start()
        sender.send(traffic, 500)
        sender.close()
        stored = settle(pipeline, traffic)
        assert pipeline.died() == []
    assert differences(stored, traffic) == []


@pytest.mark.timeout(180)
def test_a_disk_that_is_full_is_told_and_serve_goes_on_when_there_is_room(kafka: KafkaServer, tmp_path: Path) -> None:
    """The limit of file size stands for the disk: the kernel refuses DuckDB's writes in the same places."""
    traffic = Traffic(seed=31)
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "full", extra={"STILLWATCH_STORE__CHECKPOINT_EVERY_S": "1"})
    with running(pipeline, STAGES):
        sender = Sender(pipeline)
        sender.send(traffic, 500)
        wait_for(lambda: is_ready(pipeline), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        [serve] = pipeline.pids("serve")
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(serve, resource.RLIMIT_FSIZE, (64 * 1024, unlimited))  # its log file has room, the store none
        sender.send(traffic, 1000)
        wait_for(lambda: says(pipeline, "the disk is full"), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        assert httpx.get(f"{read_address(pipeline.store).url}/healthz", trust_env=False).status_code == 200  # type: ignore[union-attr]
        time.sleep(5)  # some tries and checkpoints in vain
        resource.prlimit(serve, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        wait_for(lambda: is_ready(pipeline), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        assert pipeline.died() == [], pipeline.log("serve")
        assert "Traceback" not in pipeline.log("serve")
        sender.send(traffic, 100)
        sender.close()
        stored = settle(pipeline, traffic)
    assert differences(stored, traffic) == []


@pytest.mark.timeout(180)
def test_damaged_messages_on_the_internal_topics_stop_nothing(kafka: KafkaServer, tmp_path: Path) -> None:
    traffic = Traffic(seed=32)
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "damaged")
    with running(pipeline, STAGES):
        sender = Sender(pipeline)
        sender.send(traffic, 300)
        wait_for(lambda: is_ready(pipeline), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
        for topic in ("fingerprints", "dead_letter", "accounts"):
            for value in (b"ARROW1\0\0 cut off", b"", None, b"\xff" * 100):
                producer.send(f"damaged.{topic}", value=value, key=b"k").get(timeout=30)
        producer.close()
        sender.send(traffic, 300)
        sender.close()
        stored = settle(pipeline, traffic)
        assert pipeline.died() == []
        assert "corrupt_message" in pipeline.log("serve")
    assert differences(stored, traffic) == []


@pytest.mark.timeout(120)
def test_a_second_serve_is_told_who_has_the_store_and_the_first_goes_on(kafka: KafkaServer, tmp_path: Path) -> None:
    traffic = Traffic(seed=33)
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "second")
    with running(pipeline, STAGES):
        sender = Sender(pipeline)
        sender.send(traffic, 100)
        wait_for(lambda: is_ready(pipeline), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        before = read_address(pipeline.store)
        assert pipeline.spawn("serve2").wait(40) == 73
        [first] = pipeline.pids("serve")
        assert f"open in process {first}" in pipeline.log("serve2")
        assert "Traceback" not in pipeline.log("serve2")
        assert read_address(pipeline.store) == before  # commands still find the first
        sender.send(traffic, 100)
        sender.close()
        stored = settle(pipeline, traffic)
    assert differences(stored, traffic) == []


@pytest.mark.timeout(120)
def test_a_broken_rule_stops_no_start_and_is_named_until_it_is_mended(kafka: KafkaServer, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.sql").write_text("select 1\n", encoding="utf-8")
    (rules / "mine.yml").write_text("title: [\n", encoding="utf-8")
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "broken", extra={"STILLWATCH_RULES__DIRECTORY": str(rules)})
    with running(pipeline, ("serve",)):
        wait_for(lambda: says(pipeline, "mine.yml"), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        for file in rules.iterdir():
            file.unlink()
        wait_for(lambda: not says(pipeline, "mine.yml"), 40, lambda: (ready(pipeline), pipeline.log("serve")))
        assert pipeline.died() == []
        assert "Traceback" not in pipeline.log("serve")


@pytest.mark.parametrize("stage", STAGES)
def test_a_topic_that_does_not_exist_is_named(kafka: KafkaServer, tmp_path: Path, stage: str) -> None:
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "nowhere", extra={"STILLWATCH_TOPICS__CREATE": "false"})
    with running(pipeline, ()):
        assert pipeline.spawn(stage).wait(40) == 66, pipeline.log(stage)
        assert "nowhere." in pipeline.log(stage)
        assert "Traceback" not in pipeline.log(stage)


def test_a_store_of_a_newer_version_is_left_alone_by_serve(kafka: KafkaServer, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka.bootstrap, tmp_path, "newer")
    with duckdb.connect(str(pipeline.store)) as connection:
        connection.execute("create table schema_version as select 99 as version, 'x' as name, now() as applied_at")
    before = pipeline.store.read_bytes()
    with running(pipeline, ()):
        assert pipeline.spawn("serve").wait(40) == 78, pipeline.log("serve")
    assert "written by a newer Stillwatch" in pipeline.log("serve")
    assert "Traceback" not in pipeline.log("serve")
    assert pipeline.store.read_bytes() == before
