"""`events.fields`: what is not read is as if it had not been sent, in any format."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.config import Settings
from pipeline.config.tree import FieldName
from pipeline.events import native
from tests.events.frames import EVENT, decode, event, one, reasons
from tests.events.test_native import FULL

SENT: dict[str, Any] = {
    **FULL, "ip": "203.0.113.9", "user_agent": "ua/1", "ja4": "t13d", "sdk": "py", "system": "Answer in short words.",
    "messages": [{"role": "user", "content": "Write a poem about the sea, please, in eight lines"}],
    "response": "The sea is wide", "tools": [{"name": "search"}], "reasoning_blobs": ["blob"],
    "content": {"language": "de"},
}  # fmt: skip
OPENAI = {
    "id": "e2", "account_id": "acct", "created": 1767225600, "model": "m",
    "request": {"messages": [{"role": "user", "content": "hello there"}]},
    "usage": {"prompt_tokens": 5, "completion_tokens": 6}, "object": "chat.completion",
    "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}  # fmt: skip


def only(*names: str) -> Settings:
    return Settings.model_validate({"events": {"fields": names}})


def test_the_settings_name_every_field_of_the_native_format() -> None:
    assert sorted(get_args(FieldName)) == sorted(native.FIELDS)


@given(st.sets(st.sampled_from(sorted(SENT))), st.sets(st.sampled_from(sorted(SENT))))
def test_what_is_not_read_is_as_if_it_had_not_been_sent(sent: set[str], read: set[str]) -> None:
    whole = [event(**{name: SENT[name] for name in sent}), event(event_id="e2", unknown={"deep": [1]})]
    part = [event(**{name: SENT[name] for name in sent & read}), event(event_id="e2")]
    assert_frame_equal(decode(*whole, settings=only(*read)).events, decode(*part).events)


def test_what_is_not_read_is_not_checked() -> None:
    wrong = event(latency_ms="soon", input_tokens=7)
    assert [reason for _, _, reason in reasons(decode(wrong))] == ["wrong_type"]
    assert one(wrong, settings=only("input_tokens"))["input_tokens"] == 7
    for name in EVENT:
        lacking = json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()
        assert [reason for _, _, reason in reasons(decode(lacking, settings=only("ip")))] == ["missing_field"]


def test_other_formats_are_told_apart_and_read_as_little() -> None:
    [found] = decode(json.dumps(OPENAI).encode(), settings=only("output_tokens")).events.rows(named=True)
    there = {name: value for name, value in found.items() if value is not None}
    assert there.keys() == {*EVENT, "output_tokens", "source_format"}
    assert (there["output_tokens"], there["source_format"]) == (6, "openai")


@pytest.mark.parametrize("read", [("ip",), ("asn",)])
def test_a_network_is_made_of_what_is_read(read: tuple[str]) -> None:
    found = one(event(ip="203.0.113.9", asn=64500, user_agent="ua/1"), settings=only(*read))
    assert found["network"] == {"ip": "203.0.113.0/24", "asn": "AS64500"}[read[0]]
    assert found["client"] is None
