"""A GenAI span → native fields, by current and by older attribute names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.events.otel.spans import Attributes, Span

# Work around a model call, not a call: the call has a span of its own inside.
_NO_CALL: Final = frozenset({"execute_tool", "create_agent", "invoke_agent", "invoke_workflow", "retrieval"})
_MODEL: Final = ("gen_ai.request.model", "gen_ai.response.model", "llm.request.model")
_ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": _MODEL,
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "error_type": ("error.type",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cached_tokens",
    ),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    "temperature": ("gen_ai.request.temperature",),
    "top_p": ("gen_ai.request.top_p",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "n": ("gen_ai.request.choice.count",),
    "seed": ("gen_ai.request.seed", "gen_ai.openai.request.seed"),
    "stream": ("gen_ai.request.stream", "gen_ai.request.is_stream", "llm.is_streaming"),
    "reasoning_effort": ("gen_ai.request.reasoning_effort", "gen_ai.openai.request.reasoning_effort"),
    "response_format": ("gen_ai.output.type", "gen_ai.openai.request.response_format"),
    "sdk": ("gen_ai.client.sdk",),
    "system": ("gen_ai.system_instructions",),
    "messages": ("gen_ai.input.messages",),
    "prompt": ("gen_ai.prompt",),
    "response": ("gen_ai.output.messages", "gen_ai.completion"),
    "tools": ("gen_ai.tool.definitions",),
}  # fmt: skip
_FIRST_CHUNK_S: Final = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
_NUMBERED: Final = re.compile(r"gen_ai\.(prompt|completion)\.(\d+)\.(role|content)")
_SPOKEN: Final = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message")
_REASONS: Final = ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")


def is_call(span: Span) -> bool:
    """Whether a span is one call of a model; everything else in a trace only tells about calls."""
    attributes = span.attributes
    named = any(attributes.get(name) for name in _MODEL)
    told = any(name in attributes for name in ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system"))
    return (
        (named or "gen_ai.operation.name" in attributes)
        and told
        and (attributes.get("gen_ai.operation.name") not in _NO_CALL)
    )


def native_of_span(span: Span, facts: Mapping[str, Any]) -> dict[str, str]:
    """Native fields as text. The event id is trace and span id: an exporter's retry repeats both."""
    attributes = {**_of_events(span), **span.attributes}
    found: dict[str, Any] = {"event_id": f"{span.trace_id}/{span.span_id}", **facts}
    for name, names in _ATTRIBUTES.items():
        value = next((attributes[key] for key in names if attributes.get(key) is not None), None)
        if value is not None:
            found[name] = value
    if span.start_ns:
        found["timestamp"] = span.start_ns
        if span.end_ns >= span.start_ns:
            found["latency_ms"] = (span.end_ns - span.start_ns) / 1e6
    first_s = next((attributes[key] for key in _FIRST_CHUNK_S if key in attributes), None)
    if first_s is not None:
        found["ttft_ms"] = first_s * 1000 if isinstance(first_s, int | float) else first_s
    reasons = next((attributes[key] for key in _REASONS if key in attributes), None)
    if reasons:
        found["finish_reason"] = reasons[0] if isinstance(reasons, list) else reasons
    if span.failed:
        found.setdefault("error_type", "error")
    found.setdefault("messages", _numbered(attributes, "prompt") or _spoken(span))
    found.setdefault("response", _numbered(attributes, "completion"))
    return {name: as_text(value) for name, value in found.items() if value is not None}


def as_text(value: Any) -> str:
    """A value as the checks expect it: JSON, but text bare."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _of_events(span: Span) -> dict[str, Any]:
    """Content that stands on span events: of the whole call, or of the prompt and completion."""
    found: dict[str, Any] = {}
    for name, attributes in span.events:
        if name.startswith("gen_ai.content.") or name == "gen_ai.client.inference.operation.details":
            found.update(attributes)
        elif name == "gen_ai.choice":
            found.setdefault("gen_ai.completion", _body(attributes))
    return found


def _numbered(attributes: Attributes, what: str) -> list[dict[str, Any]] | None:
    """Messages written as one attribute for each role and content."""
    messages: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        match = _NUMBERED.fullmatch(name)
        if match and match[1] == what:
            messages.setdefault(int(match[2]), {})[match[3]] = value
    return [messages[position] for position in sorted(messages)] or None


def _spoken(span: Span) -> list[dict[str, Any]] | None:
    """Messages written as span events, one each."""
    messages = []
    for name, attributes in span.events:
        match = _SPOKEN.fullmatch(name)
        if match:
            messages.append({"role": match[1], "content": _body(attributes)})
    return messages or None


def _body(attributes: Attributes) -> Any:
    return next((attributes[key] for key in ("content", "message", "gen_ai.event.content") if key in attributes), None)
