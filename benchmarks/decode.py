"""CPU-seconds per million events that decoding costs, format by format: `python -m benchmarks.decode`. No broker.

Metadata only, and with a prompt of 450 characters. Each OTLP call comes with the server span that names its sender.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from pipeline.config import Settings
from pipeline.events.decode import Decoder
from pipeline.events.schema import RAW

EVENTS: Final = 20_000
SPANS_A_MESSAGE: Final = 200
ROUNDS: Final = 3
START_S: Final = 1_767_225_600  # 2026-01-01
NOW: Final = datetime(2026, 1, 1, 1, tzinfo=UTC)
ASKED: Final = "Translate the following text to French:\n" + "The quick brown fox jumps over the lazy dog. " * 9
SAID: Final = "Voila " * 20

Record = dict[str, Any]


def native(number: int, *, text: bool) -> Record:
    """A native event."""
    record: Record = {
        "event_id": f"e{number}", "timestamp": START_S + number / 1000, "account_id": f"a{number % 500}", "model": "m",
        "api_key_id": f"k{number % 900}", "status": 200, "latency_ms": 1200, "input_tokens": 500, "output_tokens": 700,
        "ip": f"203.0.{number % 200}.{number % 250}", "user_agent": "client/1", "operation": "chat",
    }  # fmt: skip
    return {**record, "messages": _messages(number), "response": SAID} if text else record


def openai(number: int, *, text: bool) -> Record:
    """A request and its response in an envelope."""
    choice = {"finish_reason": "stop", **({"message": {"role": "assistant", "content": SAID}} if text else {})}
    return {
        "request": {"model": "m", "temperature": 0.2, **({"messages": _messages(number)} if text else {})},
        "response": {
            "id": f"c{number}", "object": "chat.completion", "created": START_S, "model": "m", "choices": [choice],
            "usage": {"prompt_tokens": 500, "completion_tokens": 600, "prompt_tokens_details": {"cached_tokens": 3}},
        },
        "project_id": f"a{number % 500}", "status": 200, "ip_address": f"203.0.{number % 200}.{number % 250}",
    }  # fmt: skip


def litellm(number: int, *, text: bool) -> Record:
    """A standard logging payload."""
    usage = {"prompt_tokens": 500, "completion_tokens": 600, "prompt_tokens_details": {"cached_tokens": 3}}
    record: Record = {
        "id": f"x{number}", "trace_id": f"t{number}", "call_type": "completion", "stream": False, "status": "success",
        "custom_llm_provider": "openai", "startTime": START_S + 0.5, "endTime": START_S + 1.5, "model": "m",
        "prompt_tokens": 500, "completion_tokens": 600, "requester_ip_address": "203.0.113.7",
        "metadata": {"user_api_key_team_id": f"a{number % 500}", "user_api_key_hash": "k", "usage_object": usage},
        "model_parameters": {"temperature": 0.2, "max_tokens": 50},
    }  # fmt: skip
    answer = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": SAID}}]}
    return {**record, "messages": _messages(number), "response": answer} if text else record


def otlp(first: int, *, text: bool) -> Record:
    """An export of many calls, each with the server span around it."""
    spans = [span for number in range(first, first + SPANS_A_MESSAGE // 2) for span in _spans(number, text=text)]
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": spans}]}]}


def protobuf(export: Record) -> bytes:
    """The same export in the other encoding."""
    data = json.loads(json.dumps(export))
    for span in data["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    packed: bytes = ParseDict(data, TracesData()).SerializeToString()
    return packed


def loads() -> Iterator[tuple[str, list[bytes]]]:
    """Name and messages of each load."""
    for text in (False, True):
        kind = "text" if text else "metadata"
        for name, make in (("native", native), ("openai", openai), ("litellm", litellm)):
            yield f"{name}, {kind}", [json.dumps(make(number, text=text)).encode() for number in range(EVENTS)]
        exports = [otlp(first, text=text) for first in range(0, EVENTS, SPANS_A_MESSAGE // 2)]
        yield f"OTLP JSON, {kind}", [json.dumps(export).encode() for export in exports]
        yield f"OTLP protobuf, {kind}", [protobuf(export) for export in exports]


def cpu_s_per_million(values: list[bytes]) -> float:
    """The least of some rounds, each with a decoder of its own."""
    schema = {name: RAW[name] for name in ("topic", "partition", "offset", "format", "value", "received_s")}
    rows = [("t", 0, offset, None, value, 0.0) for offset, value in enumerate(values)]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    spent = []
    for _ in range(ROUNDS):
        decoder = Decoder(Settings())
        before = time.process_time()
        decoded = decoder.decode(frame, now=NOW)
        spent.append(time.process_time() - before)
        assert decoded.events.height == EVENTS
    return min(spent) / EVENTS * 1e6


def main() -> None:
    """Print a line for each load."""
    for name, values in loads():
        print(f"{name:<24} {cpu_s_per_million(values):>6.1f} CPU-s/million")


def _messages(number: int) -> list[Record]:
    return [{"role": "system", "content": "Be kind"}, {"role": "user", "content": f"{ASKED}{number}"}]


def _spans(number: int, *, text: bool) -> list[Record]:
    call: Record = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-2", "gen_ai.response.id": f"c{number}", "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 50, "gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 600,
        "gen_ai.response.finish_reasons": ["stop"], "server.address": "upstream.example", "server.port": 443,
    }  # fmt: skip
    if text:
        asked = [{"role": "user", "parts": [{"type": "text", "content": f"{ASKED}{number}"}]}]
        call["gen_ai.input.messages"] = json.dumps(asked)
        call["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": "Be kind"}])
        call["gen_ai.output.messages"] = json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": SAID}]}]
        )
    server: Record = {
        "user.id": f"a{number % 500}", "client.address": f"203.0.{number % 200}.{number % 250}", "url.path": "/v1/chat",
        "user_agent.original": "client/1", "http.response.status_code": 200, "http.route": "/v1/chat",
        "http.request.method": "POST", "network.protocol.version": "1.1",
    }  # fmt: skip
    inner, outer = f"{2 * number + 1:016x}", f"{2 * number + 2:016x}"
    return [_span(number, inner, outer, 3, call), _span(number, outer, "", 2, server)]


def _span(number: int, span_id: str, parent_id: str, kind: int, attributes: Mapping[str, Any]) -> Record:
    start = START_S * 10**9 + number * 1000
    return {
        "traceId": f"{number + 1:032x}", "spanId": span_id, "parentSpanId": parent_id, "name": "span", "kind": kind,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 10**9), "status": {},
        "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
    }  # fmt: skip


def _value(value: object) -> Record:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


if __name__ == "__main__":
    main()
