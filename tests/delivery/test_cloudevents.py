"""What is sent is a CloudEvent in binary mode: read by the project's own library, over HTTP and from a record."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from cloudevents.core.bindings.kafka import KafkaMessage
from cloudevents.core.bindings.kafka import from_binary_event as from_record
from pydantic import SecretStr

from pipeline.clock import ManualClock
from pipeline.delivery.bodies import AlertBody, group_body, native
from pipeline.delivery.cloudevents import attributes, kafka_headers
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint
from pipeline.delivery.outbox import DueMessage
from pipeline.delivery.receiver import Receiver
from pipeline.delivery.sender import Sender
from pipeline.metrics import Metrics
from scripts.gen_body_docs import NOW, SAMPLE

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
EVENT = AlertBody("alert.opened", 1, NOW, SAMPLE)
GROUP = group_body([EVENT, EVENT], group="rule=campaign", group_id="grp_1", seq=0, now=NOW).decode()


def sent(form: str, body: str) -> HTTPMessage:
    with Receiver(SECRET) as receiver:
        endpoint = Endpoint.model_validate({"url": receiver.url, "secret": SECRET, "format": form})
        clock = ManualClock(datetime.now(UTC))
        with Sender("team", endpoint, Reach.of(["127.0.0.1"], http=True), clock, Metrics()) as sender:
            sender.send([DueMessage("msg_1", "team", body, 0, "alt_1"), DueMessage("msg_1", "team", body, 1, "alt_1")])
        first, again = receiver.messages
    assert first.verified
    of_event = {name: value for name, value in first.headers.items() if name.startswith("ce-")}
    assert of_event == {name: value for name, value in again.headers.items() if name.startswith("ce-")}
    return HTTPMessage(dict(first.headers), first.body)


@pytest.mark.parametrize("form", ["native", "ocsf"])
def test_a_message_is_a_cloudevent(form: str) -> None:
    event = from_binary_event(sent(form, native(EVENT).decode()))
    assert (event.get_specversion(), event.get_id(), event.get_source()) == ("1.0", "msg_1", "stillwatch")
    assert (event.get_type(), event.get_subject()) == ("stillwatch.alert.opened", SAMPLE.alert_id)
    assert (event.get_time(), event.get_datacontenttype()) == (NOW, "application/json")
    if form == "native":
        assert event.get_data() == json.loads(native(EVENT))


def test_so_is_one_for_several_alerts() -> None:
    event = from_binary_event(sent("native", GROUP))
    assert (event.get_type(), event.get_subject()) == ("stillwatch.alerts.grouped", "grp_1")


@pytest.mark.parametrize("form", ["slack", "alertmanager-webhook"])
def test_what_is_another_systems_message_has_no_such_headers(form: str) -> None:
    endpoint = Endpoint.model_validate({"url": "http://127.0.0.1:9/", "secret": SECRET, "format": form})
    clock = ManualClock(datetime.now(UTC))
    with Sender("team", endpoint, Reach.of(["127.0.0.1"], http=True), clock, Metrics()) as sender:
        headers = sender._headers(DueMessage("msg_1", "team", native(EVENT).decode(), 0, "alt_1"), b"{}")
    assert not [name for name in headers if name.startswith("ce-")]


def test_a_record_of_the_topic_is_one() -> None:
    body = native(EVENT)
    event = from_record(KafkaMessage(dict(kafka_headers("msg_1", body.decode())), SAMPLE.alert_id, body))
    assert (event.get_type(), event.get_id(), event.get_time()) == ("stillwatch.alert.opened", "msg_1", NOW)
    assert event.get_data() == json.loads(body)


def test_the_time_is_the_bodys_to_the_microsecond() -> None:
    at = NOW.replace(microsecond=123456)
    body = native(msgspec.structs.replace(EVENT, timestamp=at)).decode()
    assert datetime.fromisoformat(attributes("msg_1", body)["time"]) == at
