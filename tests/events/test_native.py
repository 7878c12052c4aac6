"""The native format: what is taken, in which wrapping, and the reason for each refusal."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.config import EventSettings, Settings
from tests.events.frames import EVENT, NOW, decode, event, one, reasons

FULL: dict[str, Any] = {
    "api_key_id": "k", "user_id": "u", "conversation_id": "c", "provider": "p", "operation": "chat",
    "endpoint": "/v1/chat", "status": 429, "error_type": "rate_limit", "finish_reason": "stop", "refused": False,
    "latency_ms": 1234, "ttft_ms": 20, "input_tokens": 5, "output_tokens": 6, "cached_tokens": 1, "reasoning_tokens": 2,
    "temperature": 0.25, "top_p": 0.5, "max_tokens": 100, "n": 2, "seed": -7, "stream": True, "logprobs": True,
    "reasoning_effort": "high", "response_format": "json_object", "message_count": 3, "tool_count": 1,
    "tool_call_count": 1, "asn": 64500, "country": "DE",
}  # fmt: skip

DEEP = 100_000  # deeper than any Python's own limit, which differs by version


def test_every_field_arrives_as_it_was_sent() -> None:
    found = one(event(**FULL, ip="203.0.113.9", user_agent="ua/1", ja4="t13d", sdk="py"))
    assert {name: found[name] for name in FULL} == FULL
    assert (found["network"], found["client"]) == ("203.0.113.0/24", "ua/1 · t13d · py")
    assert found["timestamp"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert found["source_format"] == "native"


def test_only_four_fields_are_needed_and_nothing_is_made_up() -> None:
    found = one(event(unknown={"a": [1]}, another=None))
    assert {name for name, value in found.items() if value is not None} == {*EVENT, "source_format"}


def test_numbers_as_text_are_numbers() -> None:
    assert one(event(input_tokens="12", event_id=7))["input_tokens"] == 12


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-01-01T00:00:00.250Z", "2026-01-01T05:30:00.25+05:30", "2026-01-01 00:00:00.250Z", 1767225600.25,
        "1767225600.25", 1767225600250, 1767225600250000, 1767225600250000000, "1767225600250000000",
        "1.76722560025e12",
    ],
)  # fmt: skip
def test_a_moment_in_every_notation(stamp: object) -> None:
    assert one(event(timestamp=stamp))["timestamp"] == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)


def test_notations_may_be_mixed_in_a_batch() -> None:
    stamps = ["2026-01-01T00:00:00Z", 1767225600, 1767225600000, "1767225600000000"]
    found = decode(*(event(timestamp=stamp) for stamp in stamps)).events["timestamp"]
    assert found.n_unique() == 1


@pytest.mark.parametrize(
    ("fields", "reason", "named"),
    [
        ({"event_id": None}, "missing_field", "event_id"),
        ({"account_id": ""}, "missing_field", "account_id"),
        ({"model": None}, "missing_field", "model"),
        ({"timestamp": None}, "missing_field", "timestamp"),
        ({"account_id": {"a": 1}}, "wrong_type", "account_id"),
        ({"event_id": [1]}, "wrong_type", "event_id"),
        ({"input_tokens": 1.5}, "wrong_type", "input_tokens"),
        ({"input_tokens": "many"}, "wrong_type", "input_tokens"),
        ({"input_tokens": True}, "wrong_type", "input_tokens"),
        ({"input_tokens": [1]}, "wrong_type", "input_tokens"),
        ({"input_tokens": -1}, "out_of_range", "input_tokens"),
        ({"output_tokens": 10**9}, "out_of_range", "output_tokens"),
        ({"output_tokens": 10**24}, "out_of_range", "output_tokens"),
        ({"latency_ms": -5}, "out_of_range", "latency_ms"),
        ({"latency_ms": "nan"}, "wrong_type", "latency_ms"),
        ({"ttft_ms": 1e300}, "out_of_range", "ttft_ms"),  # no 64 bits hold it
        ({"temperature": "inf"}, "wrong_type", "temperature"),
        ({"status": 70_000}, "out_of_range", "status"),
        ({"n": 2**40}, "out_of_range", "n"),
        ({"refused": "perhaps"}, "wrong_type", "refused"),
        ({"stream": 1}, "wrong_type", "stream"),
        ({"messages": "hello"}, "wrong_type", "messages"),
        ({"messages": [1, 2]}, "wrong_type", "messages"),
        ({"reasoning_blobs": "sig"}, "wrong_type", "reasoning_blobs"),
        ({"content": {"prompt_hash": "xyz"}}, "wrong_type", "content.prompt_hash"),
        ({"content": 5}, "wrong_type", "content"),
        ({"timestamp": "yesterday"}, "timestamp_unreadable", "timestamp"),
        ({"timestamp": "2026-01-01T00:00:00"}, "timestamp_unreadable", "timestamp"),
        ({"timestamp": [1]}, "timestamp_unreadable", "timestamp"),
        ({"timestamp": 0}, "timestamp_too_old", "timestamp"),
        ({"timestamp": "1970-01-02T00:00:00Z"}, "timestamp_too_old", "timestamp"),
        ({"timestamp": "2027-01-01T00:00:00Z"}, "timestamp_in_future", "timestamp"),
        ({"event_id": "\ud800"}, "wrong_type", "event_id"),
        ({"account_id": "a" * 5000}, "out_of_range", "account_id"),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason_and_names_the_field(fields: dict[str, Any], reason: str, named: str) -> None:
    decoded = decode(event(), event(**fields), event(event_id="e3"))
    assert decoded.events["event_id"].to_list() == ["e1", "e3"]
    (dead,) = decoded.dead.rows(named=True)
    assert (dead["source_offset"], dead["item"], dead["reason"]) == (1, 0, reason)
    assert dead["detail"].startswith(named)


def test_a_little_ahead_of_the_clock_is_fine() -> None:
    assert one(event(timestamp=(NOW + timedelta(seconds=299)).isoformat()))


@pytest.mark.parametrize(
    ("value", "item", "reason"),
    [
        (None, -1, "empty_message"),
        (b"", -1, "empty_message"),
        (b" \n ", -1, "empty_message"),
        (b"[]", -1, "empty_message"),
        (b'{"event_id": ', 0, "invalid_json"),
        (b'{"event_id": NaN}', 0, "invalid_json"),
        (b'{"event_id": Infinity}', 0, "invalid_json"),
        (b"hello", -1, "invalid_json"),
        (b"5", 0, "not_an_object"),
        (b'"text"', 0, "not_an_object"),
        (b"null", 0, "not_an_object"),
        (b'{"event_id": "\xff"}', -1, "invalid_utf8"),
        (b"\x00\x01\xfe", -1, "unknown_format"),
        (b"ARROW1 and no more", -1, "invalid_arrow"),
        (b"\xff\xff\xff\xff\x00", -1, "invalid_arrow"),
        (b"\x0a\x05\xff", -1, "invalid_protobuf"),
        (b'{"event_id":' + b"[" * DEEP + b"]" * DEEP + b"}", 0, "too_deep"),
        (b"[" * DEEP + b"]" * DEEP, -1, "too_deep"),
    ],
)
def test_a_message_that_is_none_spoils_no_other(value: bytes | None, item: int, reason: str) -> None:
    decoded = decode(event(), value, event(event_id="e3"))
    assert decoded.events["event_id"].to_list() == ["e1", "e3"]
    (dead,) = decoded.dead.select("source_offset", "item", "reason").rows()
    assert dead[0] == 1
    assert dead[2] == reason
    assert dead[1] == item


PACKED = [event(event_id=f"p{number}", note="a } \n { b") for number in range(3)]


def _arrow(stream: bool) -> bytes:
    sink = io.BytesIO()
    frame = pl.DataFrame(
        {
            **{name: [value] * 3 for name, value in EVENT.items() if name not in {"event_id", "timestamp"}},
            "event_id": ["p0", "p1", "p2"],
            "timestamp": [datetime(2026, 1, 1)] * 3,  # noqa: DTZ001 -- a column without zone is UTC
            "messages": [[{"role": "user", "content": "hi"}]] * 3,
            "input_tokens": [1, None, 3],
        }
    )
    (frame.write_ipc_stream if stream else frame.write_ipc)(sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        b"[" + b",".join(PACKED) + b"]",
        b"\n".join(PACKED),
        b"\r\n".join(PACKED) + b"\r\n\r\n",
        json.dumps([json.loads(line) for line in PACKED], indent=2).encode(),
        _arrow(stream=False),
        _arrow(stream=True),
    ],
    ids=["array", "ndjson", "crlf", "pretty array", "arrow file", "arrow stream"],
)
def test_many_events_in_a_message(value: bytes) -> None:
    decoded = decode(value)
    assert decoded.dead.rows(named=True) == []
    assert decoded.events["event_id"].to_list() == ["p0", "p1", "p2"]


def test_arrow_lists_are_messages() -> None:
    assert decode(_arrow(stream=False)).events["prompt_chars"].to_list() == [2, 2, 2]


def test_one_event_over_many_lines() -> None:
    assert one(json.dumps({**EVENT, "user_agent": "x"}, indent=4).encode())["client"] == "x"


def test_bad_items_of_a_message_are_numbered() -> None:
    lines = [event(event_id="a"), b"{oops", event(event_id="b", status="x"), event(event_id="c")]
    assert reasons(decode(b"\n".join(lines))) == [(0, 1, "invalid_json"), (0, 2, "wrong_type")]
    array = b"[" + event(event_id="a") + b",7," + event(event_id="b", status="x") + b"]"
    assert reasons(decode(array)) == [(0, 1, "not_an_object"), (0, 2, "wrong_type")]


def test_a_line_that_is_no_utf8_spoils_only_itself() -> None:
    lines = [event(event_id="a"), b'{"event_id": "\xff"}', b"", event(event_id="b")]
    decoded = decode(b"\n".join(lines))
    assert decoded.events["event_id"].to_list() == ["a", "b"]
    assert decoded.dead.select("item", "reason", "payload_bytes").rows() == [(1, "invalid_utf8", 17)]
    settings = Settings(events=EventSettings(max_events_per_message=2))
    assert reasons(decode(b"\n".join(lines), settings=settings)) == [(0, -1, "too_many_events")]


def test_limits_of_a_message() -> None:
    settings = Settings(events=EventSettings(max_message_bytes=500, max_events_per_message=2))
    three = b"[{},{},{}]"
    decoded = decode(event(), event(user_agent="x" * 600), three, settings=settings)
    assert decoded.events.height == 1
    assert reasons(decoded) == [(1, -1, "too_large"), (2, -1, "too_many_events")]


def test_a_prompt_of_two_megabytes() -> None:
    found = one(event(messages=[{"role": "user", "content": "Translate this please.\n" + "x" * 2_000_000}]))
    assert found["prompt_chars"] == 2_000_023


def test_bytes_order_mark_and_many_bad_lines() -> None:
    assert one(b"\xef\xbb\xbf" + event())["event_id"] == "e1"
    decoded = decode(*([b"{bad", event()] * 500))
    assert (decoded.events.height, decoded.dead.height) == (500, 500)
