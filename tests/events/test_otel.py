"""GenAI spans as real instrumentation writes them: their sender stands on the server span around them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from pipeline.config import EventSettings, OtelSettings, Settings
from pipeline.events.decode import Decoder
from pipeline.events.otel.otlp import Wanted
from pipeline.events.otel.read import read_spans
from pipeline.events.otel.traces import Traces
from pipeline.events.schema import RAW, Decoded
from tests.events.frames import NOW, decode, raw

_ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Far."}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}  # fmt: skip


class _Stub(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(_ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def spans() -> Iterator[Sequence[ReadableSpan]]:
    """One server span with one instrumented call of the openai client inside: the GenAI span ends first."""
    server = HTTPServer(("127.0.0.1", 0), _Stub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
        attributes = {
            "user.id": "acct_9", "client.address": "198.51.100.4", "user_agent.original": "sdk/3",
            "http.response.status_code": 200, "http.route": "/v1/chat",
        }  # fmt: skip
        tracer = provider.get_tracer("gateway")
        with (
            tracer.start_as_current_span("POST /v1/chat", kind=SpanKind.SERVER, attributes=attributes),
            tracer.start_as_current_span("route"),
        ):
            client.chat.completions.create(
                model="gpt-4o", temperature=0.5, max_tokens=9, messages=[{"role": "user", "content": "How far?"}]
            )
        yield exporter.get_finished_spans()
    finally:
        instrumentor.uninstrument()
        server.shutdown()
        thread.join()
        server.server_close()


def _json(spans: Sequence[ReadableSpan], *, hexadecimal: bool = True, snake: bool = False) -> bytes:
    data = MessageToDict(encode_spans(spans), preserving_proto_field_name=snake)
    if hexadecimal:
        for resource in data["resource_spans" if snake else "resourceSpans"]:
            for scope in resource["scope_spans" if snake else "scopeSpans"]:
                for span in scope["spans"]:
                    for name in ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"):
                        if name in span:
                            span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(data).encode()


def _now(spans: Sequence[ReadableSpan]) -> datetime:
    return datetime.fromtimestamp((spans[0].end_time or 0) / 1e9, UTC)


def _decode(spans: Sequence[ReadableSpan], frame: pl.DataFrame, **hold: float) -> Decoded:
    return Decoder(Settings()).decode(frame, now=_now(spans), **hold)


@pytest.mark.parametrize("form", ["protobuf", "json", "base64", "snake"])
def test_a_real_call_finds_its_sender(spans: Sequence[ReadableSpan], form: str) -> None:
    value = {
        "protobuf": encode_spans(spans).SerializeToString(),
        "json": _json(spans),
        "base64": _json(spans, hexadecimal=False),
        "snake": _json(spans, snake=True),
    }[form]
    decoded = _decode(spans, raw(value))
    assert decoded.dead.rows(named=True) == []
    assert decoded.ignored == 2
    (event,) = decoded.events.rows(named=True)
    call = spans[0]
    context = call.get_span_context()
    assert context is not None
    assert event["event_id"] == f"{context.trace_id:032x}/{context.span_id:016x}"
    assert (event["account_id"], event["ip"], event["network"]) == ("acct_9", "198.51.100.4", "198.51.100.0/24")
    assert (event["client"], event["status"], event["endpoint"]) == ("sdk/3", 200, "/v1/chat")
    assert (event["model"], event["provider"], event["operation"]) == ("gpt-4o", "openai", "chat")
    assert (event["input_tokens"], event["output_tokens"], event["finish_reason"]) == (12, 3, "stop")
    assert (event["temperature"], event["max_tokens"], event["source_format"]) == (0.5, 9, "otel")
    assert event["timestamp"].timestamp() == pytest.approx((call.start_time or 0) / 1e9, abs=1e-5)
    assert event["latency_ms"] == round(((call.end_time or 0) - (call.start_time or 0)) / 1e6)


def _two(spans: Sequence[ReadableSpan], *, received_s: float) -> pl.DataFrame:
    """The call in partition 0 (between two events), its server span in partition 1."""
    call, server = (encode_spans(part).SerializeToString() for part in (spans[:1], spans[1:]))
    native = json.dumps(
        {"event_id": "n", "timestamp": _now(spans).isoformat(), "account_id": "a", "model": "m"}
    ).encode()
    placed = [(0, 5, native), (0, 6, call), (0, 7, native), (1, 3, server)]
    rows = [("t", partition, offset, None, value, received_s) for partition, offset, value in placed]
    return pl.DataFrame(rows, schema=RAW, orient="row")


def test_the_sender_may_come_in_another_message(spans: Sequence[ReadableSpan]) -> None:
    decoded = _decode(spans, _two(spans, received_s=10.0), hold_after=9.0)
    assert (decoded.events.height, decoded.dead.height, dict(decoded.held)) == (3, 0, {})


def test_a_call_waits_for_its_trace_and_what_is_behind_it_waits_too(spans: Sequence[ReadableSpan]) -> None:
    decoder = Decoder(Settings())
    both = _two(spans, received_s=10.0)
    first = decoder.decode(both[:3], now=_now(spans), hold_after=9.0)
    assert dict(first.held) == {("t", 0): 6}
    assert (first.events.height, first.dead.height, first.ignored) == (1, 0, 0)
    second = decoder.decode(pl.concat([both[1:3], both[3:]]), now=_now(spans), hold_after=9.0)
    assert (second.events.height, second.dead.height, dict(second.held), second.ignored) == (2, 0, {}, 2)
    assert set(second.events["account_id"]) == {"acct_9", "a"}


def test_a_sender_that_passed_before_is_remembered(spans: Sequence[ReadableSpan]) -> None:
    decoder = Decoder(Settings())
    both = _two(spans, received_s=10.0)
    decoder.decode(both[3:], now=_now(spans), hold_after=9.0)
    second = decoder.decode(both[:3], now=_now(spans), hold_after=9.0)
    assert (second.events.height, dict(second.held)) == (3, {})


@pytest.mark.parametrize("hold_after", [None, 10.0])
def test_a_call_of_nobody_is_dead_once_it_has_waited(spans: Sequence[ReadableSpan], hold_after: float | None) -> None:
    decoded = Decoder(Settings()).decode(_two(spans, received_s=10.0)[:3], now=_now(spans), hold_after=hold_after)
    assert (decoded.events.height, dict(decoded.held)) == (2, {})
    assert decoded.dead.select("source_offset", "item", "reason").rows() == [(6, 0, "no_account")]
    assert b"How far" not in (decoded.dead["payload"][0] or b"")


def test_more_waiting_than_allowed_goes_on_without(spans: Sequence[ReadableSpan]) -> None:
    settings = Settings(otel=OtelSettings(join_max_spans=1))
    frame = pl.concat(
        [_two(spans, received_s=10.0 + at)[1:2].with_columns(offset=pl.lit(at, pl.Int64)) for at in range(3)]
    )
    decoded = Decoder(settings).decode(frame, now=_now(spans), hold_after=9.0)
    assert dict(decoded.held) == {("t", 0): 2}
    assert decoded.dead.height == 2


def _span(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    def typed(value: Any) -> dict[str, Any]:
        kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value), "stringValue")
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(item) for item in value]}}
        return {kind: str(value) if kind == "intValue" else value}

    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "kind": 3,
        "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601500000000",
        "attributes": [{"key": key, "value": typed(value)} for key, value in attributes.items()], **fields,
    }  # fmt: skip


def _message(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in (resource or {}).items()]
    scopes = [{"spans": list(spans)}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scopes}]}).encode()


CURRENT = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.request.model": "m", "user.id": "a",
    "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 8, "gen_ai.usage.cache_read.input_tokens": 2,
    "gen_ai.usage.reasoning.output_tokens": 3, "gen_ai.response.finish_reasons": ["content_filter"],
    "gen_ai.response.time_to_first_chunk": 0.25, "gen_ai.conversation.id": "c", "gen_ai.request.choice.count": 2,
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hello there"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Hi"}]}]',
    "gen_ai.system_instructions": '[{"type":"text","content":"Be kind"}]',
}  # fmt: skip


def test_current_names() -> None:
    (event,) = decode(_message(_span(CURRENT))).events.rows(named=True)
    assert (event["input_tokens"], event["output_tokens"]) == (7, 8)
    assert (event["cached_tokens"], event["reasoning_tokens"]) == (2, 3)
    assert (event["refused"], event["ttft_ms"], event["latency_ms"], event["n"]) == (True, 250, 1500, 2)
    assert (event["system_chars"], event["prompt_chars"], event["response_chars"]) == (7, 11, 2)
    assert (event["conversation_id"], event["message_count"]) == ("c", 1)


def test_older_names_mean_the_same_text() -> None:
    old = {
        "gen_ai.system": "acme", "llm.request.type": "chat", "gen_ai.request.model": "m", "enduser.id": "a",
        "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 8, "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be kind", "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Hello there",
        "gen_ai.completion.0.content": "Hi",
    }  # fmt: skip
    (event,) = decode(_message(_span(old))).events.rows(named=True)
    (current,) = decode(_message(_span(CURRENT))).events.rows(named=True)
    same = (
        "input_tokens",
        "output_tokens",
        "system_hash",
        "prompt_hash",
        "system_chars",
        "response_chars",
        "account_id",
    )
    assert {name: event[name] for name in same} == {name: current[name] for name in same}


def test_messages_on_span_events() -> None:
    bare = {name: value for name, value in CURRENT.items() if "messages" not in name and "instructions" not in name}
    text = [("gen_ai.system.message", "Be kind"), ("gen_ai.user.message", "Hello there")]
    events = [{"name": name, "attributes": [{"key": "content", "value": {"stringValue": said}}]} for name, said in text]
    (event,) = decode(_message(_span(bare, events=events))).events.rows(named=True)
    assert (event["system_chars"], event["prompt_chars"], event["message_count"]) == (7, 11, 2)


@pytest.mark.parametrize(
    ("own", "resource", "account"),
    [
        ({"user.id": "own", "baggage.user.id": "bag"}, {"user.id": "res"}, "own"),
        ({"baggage.user.id": "bag"}, {"user.id": "res"}, "bag"),
        ({}, {"user.id": "res"}, "res"),
        ({"enduser.id": "second", "user.id": "first"}, {}, "first"),
    ],
)
def test_where_the_account_is_looked_for(own: dict[str, Any], resource: dict[str, Any], account: str) -> None:
    bare = {name: value for name, value in CURRENT.items() if name != "user.id"}
    (event,) = decode(_message(_span({**bare, **own}), resource=resource)).events.rows(named=True)
    assert event["account_id"] == account


def test_what_is_no_call_is_ignored_and_bad_json_is_not() -> None:
    tool = _span({**CURRENT, "gen_ai.operation.name": "execute_tool"})
    decoded = decode(
        _message(tool, _span({"http.method": "GET"})), b'{"resourceSpans":[{"scopeSpans":[{"spans":[5]}]}]}'
    )
    assert (decoded.events.height, decoded.ignored) == (0, 2)
    assert decoded.dead["reason"].to_list() == ["wrong_type"]


def test_a_broken_value_in_one_span_keeps_the_other() -> None:
    broken = _span({**CURRENT, "gen_ai.usage.input_tokens": "many"}, spanId="00000000000000aa")
    decoded = decode(_message(broken, _span(CURRENT)))
    assert decoded.events.height == 1
    assert decoded.dead.select("item", "reason").rows() == [(0, "wrong_type")]
    assert b"Hello there" not in decoded.dead["payload"][0]
    assert decoded.dead["seen_at"][0] == NOW


@pytest.mark.parametrize(
    ("value", "format_name", "reason"),
    [
        (b'{"resourceSpans": []}', None, "empty_message"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": []}]}]}', None, "empty_message"),
        (b"\x0a\x00", None, "empty_message"),
        (b'{"resourceSpans": 5}', None, "wrong_type"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": 5}]}]}', None, "wrong_type"),
        (b'{"resourceLogs": []}', "otlp_json", "unknown_format"),
        (b'{"event_id": "e1"}', "otel", "unknown_format"),
        (_message(*[_span({}) for _ in range(3)]), None, "too_many_events"),
    ],
)
def test_a_message_without_spans_is_never_silent(value: bytes, format_name: str | None, reason: str) -> None:
    settings = Settings(events=EventSettings(max_events_per_message=2))
    decoded = decode(value, settings=settings, format_name=format_name)
    assert decoded.dead["reason"].to_list() == [reason]
    assert (decoded.events.height, decoded.ignored) == (0, 0)


def _protobuf(*attributes: dict[str, bytes | str], trace_id: bytes = b"t" * 16) -> bytes:
    """Spans by hand: protobuf's own classes refuse text that is no UTF-8."""

    def field(number: int, value: bytes) -> bytes:
        size, length = len(value), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + value

    spans = b""
    for number, pairs in enumerate(attributes):
        told = b"".join(
            field(9, field(1, key.encode()) + field(2, field(1, value if isinstance(value, bytes) else value.encode())))
            for key, value in pairs.items()
        )
        start = b"\x39" + (1767225600 * 10**9).to_bytes(8, "little")
        spans += field(2, field(1, trace_id) + field(2, bytes([number + 1]) * 8) + start + told)
    return field(1, field(2, spans))


CALL: dict[str, bytes | str] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "a"}


def test_an_attribute_cut_within_a_letter_spoils_nothing() -> None:
    decoded = decode(
        _protobuf({**CALL, "gen_ai.prompt": "caf\u00e9".encode()[:-1]}, {**CALL, "user.id": b"\xff"}, CALL)
    )
    assert decoded.dead.rows(named=True) == []
    assert decoded.events["account_id"].to_list() == ["a", "\\xff", "a"]
    assert decoded.events["prompt_hash"].null_count() == 2


def test_spans_without_a_trace_are_strangers_to_each_other() -> None:
    server = _span({"user.id": "other"}, traceId="", spanId="", kind=2)
    call = _span({name: value for name, value in CURRENT.items() if name != "user.id"}, traceId="", spanId="")
    decoded = decode(_message(server, call))
    assert decoded.events.is_empty()
    assert decoded.dead.select("item", "reason").rows() == [(1, "missing_field")]


@pytest.mark.parametrize("circle", [False, True])
def test_the_nearest_span_around_a_call_tells_first(circle: bool) -> None:
    bare = {name: value for name, value in CURRENT.items() if name != "user.id"}
    far = {"user.id": "far", "client.address": "203.0.113.9"}
    spans = [
        _span(bare, spanId="00000000000000a1", parentSpanId="00000000000000a2"),
        _span({"user.id": "near"}, spanId="00000000000000a2", parentSpanId="00000000000000a3"),
        _span(far, spanId="00000000000000a3", parentSpanId="00000000000000a1" if circle else ""),
    ]
    (event,) = decode(*(_message(span) for span in spans)).events.rows(named=True)
    assert (event["account_id"], event["ip"]) == ("near", "203.0.113.9")


def test_what_is_remembered_of_traces_is_bounded() -> None:
    traces = Traces(OtelSettings(join_max_spans=3))
    wanted = Wanted(traces.names, ())
    for number in range(8):
        span = _span({"user.id": "a"}, traceId=f"{number // 2:032x}", spanId=f"{number + 1:016x}")
        export, _ = read_spans(
            pl.DataFrame(schema={"row": pl.UInt32, "value": pl.Binary}),
            pl.DataFrame({"row": [0], "item": [0], "line": [_message(span).decode()]}),
            wanted,
            10,
        )
        traces.add(export)
        traces.forget()
        assert traces.size <= 3


def test_an_old_span_tells_how_it_ended() -> None:
    old = {"gen_ai.system": "acme", "gen_ai.request.model": "m", "user.id": "a"}
    (event,) = decode(_message(_span({**old, "gen_ai.completion.0.finish_reason": "length"}))).events.rows(named=True)
    assert event["finish_reason"] == "length"


def test_structured_messages_are_read_in_both_encodings() -> None:
    said = {"arrayValue": {"values": [{"kvlistValue": {"values": [
        {"key": "role", "value": {"stringValue": "user"}}, {"key": "content", "value": {"stringValue": 'Say "hi"'}},
    ]}}]}}  # fmt: skip
    span = _span({name: value for name, value in CURRENT.items() if name != "gen_ai.input.messages"})
    span["attributes"].append({"key": "gen_ai.input.messages", "value": said})
    value = _message(span)
    data = json.loads(value)
    for name, size in (("traceId", 16), ("spanId", 8)):
        one = data["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        one[name] = base64.b64encode(bytes.fromhex(one[name])[:size]).decode()
    packed = ParseDict(data, TracesData()).SerializeToString()
    both = decode(value, packed)
    assert both.dead.rows(named=True) == []
    assert both.events["prompt_chars"].to_list() == [8, 8]
    assert both.events[0].equals(both.events[1])
