"""What LiteLLM's own logger makes of a mocked call is read as one event."""

# ruff: noqa: ARG002 -- LiteLLM calls its loggers by the names of their arguments

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from pipeline.config import Settings
from pipeline.events.decode import Decoder
from tests.events.frames import NOW, raw

# LiteLLM passes its arguments by name.


class _Keeper(CustomLogger):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.payloads: list[dict[str, Any]] = []

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.payloads.append(kwargs["standard_logging_object"])

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.payloads.append(kwargs["standard_logging_object"])


_KEEPER = _Keeper()  # LiteLLM registers one logger of a class, for the life of the process


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> _Keeper:
    monkeypatch.setattr(litellm, "callbacks", [_KEEPER])
    _KEEPER.payloads.clear()
    return _KEEPER


def _payload(keeper: _Keeper, **arguments: Any) -> bytes:
    with contextlib.suppress(litellm.RateLimitError):
        litellm.completion(
            model="gpt-4o",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How far is the moon?"}],
            temperature=0.3,
            max_tokens=50,
            metadata={"user_api_key_team_id": "team_1", "user_api_key_user_id": "user_1", "user_api_key_hash": "key_3"},
            **arguments,
        )
    return _logged(keeper)


def _logged(keeper: _Keeper) -> bytes:
    for _ in range(200):  # the logger works behind the call
        if keeper.payloads:
            break
        time.sleep(0.02)
    (payload,) = keeper.payloads
    return json.dumps(payload, default=str).encode()


@pytest.mark.parametrize("header", [None, "litellm"])
def test_a_call(keeper: _Keeper, header: str | None) -> None:
    value = _payload(keeper, mock_response="384,400 km", user="end_7")
    decoded = Decoder(Settings()).decode(raw(value, format_name=header), now=datetime.now(UTC))
    assert decoded.dead.rows(named=True) == []
    (event,) = decoded.events.rows(named=True)
    payload = keeper.payloads[0]
    assert event["source_format"] == "litellm"
    assert event["event_id"] == payload["id"]
    assert (event["account_id"], event["api_key_id"], event["user_id"]) == ("team_1", "key_3", "end_7")
    assert (event["model"], event["provider"], event["operation"]) == ("gpt-4o", "openai", "chat")
    assert (event["input_tokens"], event["output_tokens"]) == (payload["prompt_tokens"], payload["completion_tokens"])
    assert (event["temperature"], event["max_tokens"], event["status"]) == (0.3, 50, 200)
    assert (event["system_chars"], event["prompt_chars"], event["response_chars"]) == (9, 20, 10)
    assert (event["message_count"], event["finish_reason"], event["refused"]) == (2, "stop", False)
    assert event["timestamp"].timestamp() == pytest.approx(payload["startTime"], abs=1e-5)


def test_a_refused_call(keeper: _Keeper) -> None:
    value = _payload(keeper, mock_response="litellm.RateLimitError")
    decoded = Decoder(Settings()).decode(raw(value), now=datetime.now(UTC))
    assert decoded.dead.rows(named=True) == []
    (event,) = decoded.events.rows(named=True)
    assert (event["status"], event["error_type"]) == (429, "RateLimitError")


def test_no_customer_is_no_account() -> None:
    value = (
        b'{"id":"x","call_type":"completion","startTime":1767225600.5,"endTime":1767225601,"model":"m","metadata":{}}'
    )
    decoded = Decoder(Settings()).decode(raw(value), now=NOW)
    assert decoded.dead["reason"].to_list() == ["no_account"]


SENDER = {"user_api_key_team_id": "team_1", "user_api_key_hash": "key_3"}
ASKED = [{"role": "user", "content": "How far?"}]


def _streamed() -> None:
    for _ in litellm.completion(model="gpt-4o", messages=ASKED, stream=True, mock_response="Far away", metadata=SENDER):
        pass


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (_streamed, {"operation": "chat", "stream": True, "finish_reason": "stop", "response_chars": 8}),
        (
            lambda: litellm.completion(
                model="gpt-4o", messages=ASKED, mock_response="Far", tools=[{"type": "function"}], metadata=SENDER
            ),
            {"operation": "chat", "tool_count": 1, "prompt_chars": 8},
        ),
        (
            lambda: litellm.embedding(
                model="text-embedding-3-small", input=["a", "b"], mock_response=[0.1, 0.2], metadata=SENDER
            ),
            {"operation": "embedding", "prompt_chars": 2, "output_tokens": 0},
        ),
        (
            lambda: litellm.responses(model="gpt-4o", input="How far?", mock_response="Far", metadata=SENDER),
            {"operation": "chat", "prompt_chars": 8, "response_chars": 3},
        ),
        (
            lambda: litellm.text_completion(
                model="gpt-3.5-turbo-instruct", prompt="How far?", mock_response="Far", metadata=SENDER
            ),
            {"operation": "completion", "prompt_chars": 8, "response_chars": 3, "finish_reason": "stop"},
        ),
    ],
    ids=["streamed", "tools", "embedding", "responses", "text completion"],
)
def test_every_kind_of_call(keeper: _Keeper, call: Callable[[], object], expected: dict[str, Any]) -> None:
    call()
    decoded = Decoder(Settings()).decode(raw(_logged(keeper)), now=datetime.now(UTC))
    assert decoded.dead.rows(named=True) == []
    (event,) = decoded.events.rows(named=True)
    assert {name: event[name] for name in expected} == expected
    assert (event["status"], event["account_id"], event["api_key_id"]) == (200, "team_1", "key_3")
