"""Promise 1: whatever is killed, whenever, every event counts once or is in the dead letters with a reason."""

import os
import threading
import time
from pathlib import Path

import pytest

from pipeline.faults import FAULT_POINTS
from tests.chaos.harness import Pipeline, Sender, differences, random_victims, running, settle
from tests.chaos.traffic import Traffic
from tests.kafka.server import KafkaServer

STAGES = ("ingest1", "ingest2", "worker1", "worker2", "serve")
# A webhook's own steps are walked in tests/alerts; here nothing is alerted.
WALKED = [point for point in FAULT_POINTS if point not in ("serve.sent", "worker.delta_part_sent")]

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


@pytest.mark.timeout(1800)
def test_random_kills_lose_and_double_nothing(apache_kafka: KafkaServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("STILLWATCH_CHAOS_SEED", "0")) or time.time_ns() % 1_000_000
    kills = int(os.environ.get("STILLWATCH_CHAOS_KILLS", "6"))
    print(f"chaos: seed {seed}, {kills} kills; STILLWATCH_CHAOS_SEED={seed} repeats it")
    traffic = Traffic(seed, step_s=0.12 / kills)  # the longer it runs, the more is sent
    pipeline = Pipeline(apache_kafka.bootstrap, tmp_path, f"chaos{seed}")
    done = threading.Event()
    with running(pipeline, STAGES):
        sender = Sender(pipeline)

        def flow() -> None:
            while not done.is_set():
                sender.send(traffic, 400)
                done.wait(0.2)

        thread = threading.Thread(target=flow)
        thread.start()
        try:
            time.sleep(5)
            for victim, pause_s in random_victims(STAGES, kills, seed):
                time.sleep(pause_s)
                assert pipeline.died() == [], pipeline.log(pipeline.died()[0])
                pipeline.kill(victim)
                pipeline.spawn(victim)
        finally:
            done.set()
            thread.join(60)
            sender.close()
        stored = settle(pipeline, traffic)
    assert traffic.items > 1000
    assert differences(stored, traffic) == [], f"seed {seed}"


@pytest.mark.timeout(900)
def test_a_kill_between_each_two_steps_loses_and_doubles_nothing(apache_kafka: KafkaServer, tmp_path: Path) -> None:
    traffic = Traffic(seed=7)
    pipeline = Pipeline(apache_kafka.bootstrap, tmp_path, "steps")
    with running(pipeline, ("ingest", "worker", "serve")):
        sender = Sender(pipeline)
        sender.send(traffic, 500)
        for point in WALKED:
            stage = point.partition(".")[0]
            pipeline.stop(stage)
            pipeline.spawn(stage, fault=point)
            sender.send(traffic, 500)
            pipeline.wait_killed(stage)
            pipeline.spawn(stage)
            sender.send(traffic, 100)
        sender.close()
        stored = settle(pipeline, traffic)
    assert differences(stored, traffic) == []


@pytest.mark.timeout(300)
def test_a_rebalance_in_the_middle_loses_and_doubles_nothing(apache_kafka: KafkaServer, tmp_path: Path) -> None:
    traffic = Traffic(seed=8)
    pipeline = Pipeline(apache_kafka.bootstrap, tmp_path, "rebalance")
    with running(pipeline, ("ingest1", "worker1", "serve")):
        sender = Sender(pipeline)
        sender.send(traffic, 1000)
        for name in ("ingest2", "worker2"):
            pipeline.spawn(name)
        for _ in range(10):
            sender.send(traffic, 300)
            time.sleep(0.5)
        for name in ("ingest1", "worker1"):
            assert pipeline.stop(name) == 0, pipeline.log(name)
        sender.send(traffic, 1000)
        sender.close()
        stored = settle(pipeline, traffic)
    assert differences(stored, traffic) == []
