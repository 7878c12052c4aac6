"""Whatever comes in: nothing is raised, every item is accounted for, and batching changes nothing."""

import json
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import Settings
from pipeline.events.decode import Decoder
from pipeline.events.schema import Decoded
from tests.events.frames import EVENT, NOW, event, raw
from tests.events.test_openai import AROUND, REQUEST, RESPONSE
from tests.events.test_otel import CURRENT, _message, _span

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

OTEL = _message(_span(CURRENT), _span({"http.method": "GET"}, spanId="00000000000000aa"))
LITELLM = (
    b'{"id":"x","call_type":"completion","startTime":1767225600.5,"endTime":1767225601,"model":"m",'
    b'"metadata":{"user_api_key_team_id":"t"},"messages":[{"role":"user","content":"Hi"}]}'
)
GOOD: tuple[bytes, ...] = (
    event(),
    event(messages=[{"role": "user", "content": "Hello"}], ip="203.0.113.1", timestamp=1767225600123),
    event(content={"prompt_chars": 4}, reasoning_blobs=["a"], temperature=1),
    b"[" + event() + b"," + event(status="bad") + b"]",
    event() + b"\n{oops\n" + event(),
    json.dumps({"request": REQUEST, "response": RESPONSE, **AROUND}).encode(),
    LITELLM,
    OTEL,
    event(response=[{"type": "message", "content": {"text": False}}]),
    event(response=[{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]),
    b"{}", b"[{}]", b"{bad", b"\xff", b"", b"5",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["messages", "system", "prompt", "response", "request", "choices", "usage", "object", "startTime", "call_type",
     "content", "metadata", "model_parameters", "resourceSpans", "tools", "reasoning_blobs", "timestamp", "ip", "asn",
     "n", "seed", "logprobs", "finish_reason", "status", "event_id", "input", "output", "error_information"]
)  # fmt: skip


def _decode(*values: bytes | None, format_name: str | None = None) -> Decoded:
    return Decoder(Settings()).decode(raw(*values, format_name=format_name), now=NOW)


def _accounted(decoded: Decoded) -> int:
    return int(decoded.events.height + decoded.dead.height + decoded.ignored)


@QUICK
@given(st.lists(st.none() | st.binary(max_size=60) | st.text(max_size=60).map(str.encode), max_size=6))
def test_any_bytes(values: list[bytes | None]) -> None:
    decoded = _decode(*values, event())
    assert "e1" in decoded.events["event_id"].to_list()
    # Random bytes may be several lines, each an item; a message is never silent.
    assert set(decoded.dead["source_offset"]) == set(range(len(values)))


@QUICK
@given(
    st.dictionaries(NAMES, JSON, max_size=6),
    st.booleans(),
    st.sampled_from([None, "native", "litellm", "openai", "otel", "application/json"]),
)
def test_any_json_under_any_name(fields: dict[str, Any], named: bool, format_name: str | None) -> None:
    record = {**(EVENT if named else {}), **fields}
    decoded = _decode(json.dumps(record, default=str).encode(), event(event_id="after"), format_name=format_name)
    assert _accounted(decoded) == 2


@QUICK
@given(st.binary(max_size=80), st.integers(0, 400))
def test_damaged_protobuf(junk: bytes, cut: int) -> None:
    decoded = _decode((b"\x0a" + junk), OTEL[:cut], format_name="otlp_proto")
    assert decoded.events.is_empty()


@QUICK
@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=12), st.data())
def test_batches_do_not_matter(values: list[bytes], data: st.DataObject) -> None:
    frame = raw(*values)
    whole = Decoder(Settings()).decode(frame, now=NOW)
    order = data.draw(st.permutations(range(len(values))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)), max_size=3)) | {0, len(values)})
    decoder = Decoder(Settings())
    shuffled = frame[list(order)]
    parts = [decoder.decode(shuffled[start:end], now=NOW) for start, end in pairwise(cuts)]
    events = pl.concat([part.events for part in parts])
    dead = pl.concat([part.dead for part in parts])
    assert sorted(map(repr, events.rows())) == sorted(map(repr, whole.events.rows()))
    assert sorted(map(repr, dead.rows())) == sorted(map(repr, whole.dead.rows()))
    assert sum(part.ignored for part in parts) == whole.ignored
