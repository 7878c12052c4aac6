"""OpenAI-style records: flat, enveloped, of a batch file, of the responses API."""

import json
from typing import Any

import pytest

from tests.events.frames import decode, one

REQUEST: dict[str, Any] = {
    "model": "m", "messages": [{"role": "developer", "content": "Be kind"}, {"role": "user", "content": "Hello there"}],
    "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 99, "n": 2, "seed": 4, "logprobs": True, "stream": False,
    "reasoning_effort": "low", "tools": [{"type": "function"}], "safety_identifier": "end_1",
}  # fmt: skip
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": "m-2025",
    "choices": [
        {"finish_reason": "content_filter", "message": {"role": "assistant", "content": "No"}},
        {"finish_reason": "stop", "message": {"role": "assistant", "content": None, "tool_calls": []}},
    ],
    "usage": {
        "prompt_tokens": 7, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}  # fmt: skip
AROUND = {"project_id": "acct", "api_key_id": "k", "ip_address": "2001:db8:1:2::3", "status": 200, "latency_ms": 12.6}
EXPECTED = {
    "event_id": "chatcmpl-1", "account_id": "acct", "api_key_id": "k", "user_id": "end_1", "model": "m-2025",
    "operation": "chat", "status": 200, "finish_reason": "content_filter", "refused": True, "latency_ms": 13,
    "input_tokens": 7, "output_tokens": 8, "cached_tokens": 2, "reasoning_tokens": 3, "temperature": 0.5, "top_p": 0.9,
    "max_tokens": 99, "n": 2, "seed": 4, "logprobs": True, "stream": False, "reasoning_effort": "low", "tool_count": 1,
    "message_count": 2, "system_chars": 7, "prompt_chars": 11, "response_chars": 2, "network": "2001:db8:1::/48",
    "source_format": "openai",
}  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        {**REQUEST, **RESPONSE, **AROUND},
        {"request": REQUEST, "response": RESPONSE, **AROUND},
        {
            "request": {"body": REQUEST, "url": "/v1"},
            "response": {"status_code": 200, "body": RESPONSE},
            **{name: value for name, value in AROUND.items() if name != "status"},
        },
    ],
    ids=["flat", "envelope", "batch"],
)
def test_a_chat_completion(record: dict[str, Any]) -> None:
    found = one(json.dumps(record).encode())
    assert {name: found[name] for name in EXPECTED} == EXPECTED


def test_the_responses_api() -> None:
    record = {
        "id": "resp_1", "object": "response", "created_at": 1767225600, "model": "m", "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"}, "organization": "org", "instructions": "Be kind",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello there"}]},
                  {"type": "function_call", "name": "f", "arguments": "{}"}],
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
        "usage": {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 1}},
        "reasoning": {"effort": "high"}, "conversation": {"id": "conv_1"}, "max_output_tokens": 4,
    }  # fmt: skip
    found = one(json.dumps(record).encode())
    assert (found["account_id"], found["conversation_id"], found["finish_reason"]) == (
        "org",
        "conv_1",
        "max_output_tokens",
    )
    assert (found["input_tokens"], found["output_tokens"], found["reasoning_tokens"]) == (3, 4, 1)
    assert (found["reasoning_effort"], found["max_tokens"], found["status"]) == ("high", 4, None)
    assert (found["system_chars"], found["prompt_chars"], found["response_chars"]) == (7, 11, 2)
    assert (found["message_count"], found["tool_call_count"]) == (2, 1)


def test_text_input_and_an_error() -> None:
    record = {
        "request": {"model": "m", "input": "Hello"}, "response": {"error": {"type": "overloaded", "code": "x"}},
        "request_id": "r", "timestamp": 1767225600, "account_id": "a", "status": 529,
    }  # fmt: skip
    found = one(json.dumps(record).encode())
    assert (found["prompt_chars"], found["error_type"], found["status"]) == (5, "overloaded", 529)


def test_nobody_is_no_account() -> None:
    assert decode(json.dumps({"request": REQUEST, "response": RESPONSE}).encode()).dead["reason"].to_list() == [
        "no_account"
    ]
