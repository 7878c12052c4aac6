"""OpenAI-style records → native fields: flat, or request and response in an envelope; chat, completions, responses API.

Whatever a gateway adds beside them (account, key, address, status) is looked for at the top of the record.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.json_lines import nested, parse
from pipeline.events.litellm import of_choices
from pipeline.events.native import FIELDS, to_wire


def _text(*names: str) -> pl.Schema:
    return pl.Schema(dict.fromkeys(names, pl.String))


_REQUEST: Final = (
    "model", "messages", "input", "instructions", "prompt", "temperature", "top_p", "max_tokens", "n", "seed", "stream",
    "max_completion_tokens", "max_output_tokens", "logprobs", "top_logprobs", "reasoning_effort", "reasoning",
    "response_format", "tools", "functions", "user", "safety_identifier", "conversation", "previous_response_id",
)  # fmt: skip
_RESPONSE: Final = (
    "id", "object", "created", "created_at", "choices", "output", "output_text", "usage", "error", "status",
    "incomplete_details",
)  # fmt: skip
_TOP: Final = (
    "request", "response", "event_id", "request_id", "timestamp", "account_id", "project_id", "organization",
    "organization_id", "org_id", "api_key_id", "user_id", "conversation_id", "provider", "operation", "endpoint", "url",
    "path", "status_code", "latency_ms", "ttft_ms", "ip", "ip_address", "asn", "country", "user_agent", "ja4", "sdk",
)  # fmt: skip
TOP: Final = _text(*dict.fromkeys((*_TOP, *_REQUEST, *_RESPONSE)))
_BODY: Final = _text("body", "status_code", *_REQUEST)
_ANSWER: Final = _text("body", "status_code", "model", *_RESPONSE)
_USAGE: Final = _text(
    "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "prompt_tokens_details",
    "input_tokens_details", "completion_tokens_details", "output_tokens_details",
)  # fmt: skip
_DETAILS: Final = _text("cached_tokens", "reasoning_tokens")
_ERROR: Final = _text("type", "code")
_EFFORT: Final = _text("effort")
_NAMED: Final = _text("id")
_INCOMPLETE: Final = _text("reason")
_OPERATIONS: Final = {
    "chat.completion": "chat",
    "text_completion": "completion",
    "response": "chat",
    "list": "embedding",
}


def wire_of_openai(lines: pl.DataFrame) -> pl.DataFrame:
    """ITEMS that are OpenAI-style records → WIRE. The account is account_id, project_id, else the organisation."""
    top = parse(lines["line"], TOP).columns
    request = _unwrapped(top["request"], _BODY)
    answer = _unwrapped(top["response"], _ANSWER)

    def asked(name: str) -> pl.Series:
        return _first(request[name], top[name])

    def told(name: str) -> pl.Series:
        return _first(answer[name], top[name])

    usage = nested(told("usage"), _USAGE)
    read = nested(_first(usage["prompt_tokens_details"], usage["input_tokens_details"]), _DETAILS)
    written = nested(_first(usage["completion_tokens_details"], usage["output_tokens_details"]), _DETAILS)
    error = nested(told("error"), _ERROR)
    finish, said = of_choices(told("choices"))
    state = _words(told("status"))  # of the responses API: completed, incomplete, failed
    given = asked("input")
    is_list = given.str.starts_with("[")
    conversation = nested(asked("conversation"), _NAMED)
    columns = {
        "event_id": _first(top["event_id"], top["request_id"], told("id")),
        "timestamp": _first(top["timestamp"], told("created"), told("created_at")),
        "account_id": _first(
            top["account_id"], top["project_id"], top["organization"], top["organization_id"], top["org_id"]
        ),
        "model": _first(answer["model"], request["model"], top["model"]),
        "user_id": _first(asked("safety_identifier"), asked("user"), top["user_id"]),
        "conversation_id": _first(
            top["conversation_id"], conversation["id"], _plain(asked("conversation")), asked("previous_response_id")
        ),
        "operation": _first(top["operation"], told("object").replace(_OPERATIONS)),
        "endpoint": _first(top["endpoint"], top["path"], top["url"]),
        "status": _first(top["status_code"], _digits(top["status"]), answer["status_code"]),
        "error_type": _first(error["type"], error["code"]),
        "finish_reason": _first(finish, nested(told("incomplete_details"), _INCOMPLETE)["reason"], state),
        "input_tokens": _first(usage["prompt_tokens"], usage["input_tokens"]),
        "output_tokens": _first(usage["completion_tokens"], usage["output_tokens"]),
        "cached_tokens": read["cached_tokens"],
        "reasoning_tokens": written["reasoning_tokens"],
        "max_tokens": _first(asked("max_completion_tokens"), asked("max_output_tokens"), asked("max_tokens")),
        "logprobs": _first(asked("logprobs"), asked("top_logprobs")),
        "reasoning_effort": _first(asked("reasoning_effort"), nested(asked("reasoning"), _EFFORT)["effort"]),
        "tools": _first(asked("tools"), asked("functions")),
        "system": asked("instructions"),
        "messages": _first(asked("messages"), _where(given, is_list)),
        "prompt": _first(asked("prompt"), _where(given, ~is_list)),
        "response": _first(said, told("output_text"), told("output")),
        "ip": _first(top["ip"], top["ip_address"]),
    }
    for name in ("temperature", "top_p", "n", "seed", "stream", "response_format"):
        columns[name] = asked(name)
    for name in ("api_key_id", "provider", "latency_ms", "ttft_ms", "asn", "country", "user_agent", "ja4", "sdk"):
        columns[name] = top[name]
    assert columns.keys() <= set(FIELDS)
    return to_wire(lines.with_columns(column.alias(name) for name, column in columns.items()), "openai")


def _unwrapped(texts: pl.Series, schema: pl.Schema) -> pl.DataFrame:
    """Fields of a request or response; where it is one of a batch file, those of its body."""
    outer = nested(texts, schema)
    if outer["body"].null_count() == len(outer):
        return outer
    inner = nested(outer["body"], schema)
    return pl.DataFrame({name: _first(inner[name], outer[name]) for name in outer.columns})


def _first(*columns: pl.Series) -> pl.Series:
    frame = pl.DataFrame({str(position): column for position, column in enumerate(columns)})
    return frame.select(pl.coalesce(pl.all())).to_series()


def _where(column: pl.Series, mask: pl.Series) -> pl.Series:
    return pl.DataFrame({"c": column, "m": mask}).select(pl.when("m").then("c")).to_series()


def _plain(column: pl.Series) -> pl.Series:
    return _where(column, ~column.str.starts_with("{"))


def _digits(column: pl.Series) -> pl.Series:
    return _where(column, column.str.contains(r"^\d+$"))


def _words(column: pl.Series) -> pl.Series:
    return _where(column, column.is_in(["completed", "incomplete", "failed", "cancelled"]))
