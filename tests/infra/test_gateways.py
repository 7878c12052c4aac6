"""The LiteLLM callback sends what LiteLLM makes, through a real broker, in a form that the decoder reads."""

import asyncio
import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType

import litellm
import polars as pl
import pytest
from kafka import KafkaConsumer

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.topics import ensure_topics
from pipeline.config import Settings, load
from pipeline.events.decode import Decoder
from pipeline.events.schema import RAW
from tests.infra.parts import ROOT

pytestmark = pytest.mark.broker


@pytest.fixture
def bootstrap() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        ensure_topics(load(environ={"KAFKA_BOOTSTRAP": broker.bootstrap}).settings)
        yield broker.bootstrap


@pytest.fixture
def callback(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", bootstrap)
    found = importlib.util.spec_from_file_location("stillwatch_callback", ROOT / "infra/litellm/stillwatch_callback.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    yield module
    module.handler.producer.close()


async def test_a_call_becomes_an_event(callback: ModuleType, bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callbacks", [callback.handler])
    await litellm.acompletion(
        model="gpt-4o",
        messages=[{"role": "user", "content": "How far is the moon?"}],
        mock_response="384,400 km",
        metadata={"user_api_key_user_id": "acct_17", "user_api_key_hash": "key_3"},
    )
    consumer = KafkaConsumer(
        "api.requests", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    message = await asyncio.to_thread(next, consumer, None)  # LiteLLM logs from this loop, later
    consumer.close()
    assert message is not None
    assert ("stillwatch-format", b"litellm") in message.headers
    frame = pl.DataFrame(
        [(message.topic, message.partition, message.offset, "litellm", message.value, 0.0)], schema=RAW, orient="row"
    )
    decoded = Decoder(Settings()).decode(frame, now=datetime.now(UTC))
    assert decoded.dead.rows(named=True) == []
    (event,) = decoded.events.rows(named=True)
    assert (event["account_id"], event["model"]) == ("acct_17", "gpt-4o")
