"""Alerts to a topic, over every broker; and over none."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from kafka import KafkaConsumer

from pipeline.broker import ensure_topics
from pipeline.clock import SystemClock
from pipeline.config import KafkaSettings, Settings
from pipeline.delivery.endpoints import Endpoints
from pipeline.delivery.outbox import DueMessage
from pipeline.delivery.topic import TopicSender
from pipeline.metrics import Metrics
from tests.conftest import HasBootstrap

MESSAGES = [
    DueMessage(f"msg_{number}", "topic:t", f'{{"type":"alert.opened","n":{number}}}', 0, f"alt_{number % 2}")
    for number in range(6)
]


@pytest.mark.broker
def test_alerts_go_to_a_topic_keyed_in_order_under_their_ids(broker: HasBootstrap) -> None:
    topic = f"alerts-{random.randrange(10**9)}"
    settings = Settings.model_validate({"kafka": {"bootstrap": broker.bootstrap}, "topics": {"alerts": topic}})
    ensure_topics(settings)
    with TopicSender("topic:t", topic, settings.kafka, SystemClock(), Metrics()) as sender:
        outcomes = sender.send(MESSAGES)
        assert [one.verdict for one in outcomes] == ["delivered"] * 6
        assert [one.message_id for one in sender.send(MESSAGES[:1])] == ["msg_0"]  # again: its outcome was lost
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    got: dict[str, list[tuple[str, bytes]]] = {}
    try:
        while sum(map(len, got.values())) < 7:
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    headers = dict(record.headers)
                    value = headers["webhook-id"]
                    assert headers["ce_id"] == value
                    assert (headers["ce_type"], headers["content-type"]) == (
                        b"stillwatch.alert.opened",
                        b"application/json",
                    )
                    got.setdefault(record.key.decode(), []).append((value.decode(), record.value))
    finally:
        consumer.close()
    assert [message for message, _ in got["alt_1"]] == ["msg_1", "msg_3", "msg_5"]
    assert [message for message, _ in got["alt_0"]] == ["msg_0", "msg_2", "msg_4", "msg_0"]
    assert got["alt_1"][0][1] == b'{"type":"alert.opened","n":1}'


def test_a_broker_that_is_away_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.delivery.topic.FOUND_WITHIN_S", 1.0)
    kafka = KafkaSettings(bootstrap="127.0.0.1:9")
    clock = SystemClock()
    with TopicSender("topic:t", "t", kafka, clock, Metrics()) as sender:
        [outcome] = sender.send(MESSAGES)
    assert outcome.verdict == "retry"
    assert outcome.next_attempt_at is not None
    assert outcome.next_attempt_at - clock.now() < timedelta(seconds=8)


def test_the_settings_name_the_topic() -> None:
    settings = Settings.model_validate({"topics": {"alerts": "stillwatch.alerts"}})
    endpoints = Endpoints.of_settings(settings.webhook, settings.topics.alerts)
    assert list(endpoints.by_name) == ["topic:stillwatch.alerts"]
