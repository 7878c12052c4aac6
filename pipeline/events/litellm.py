"""LiteLLM's StandardLoggingPayload → native fields."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.json_lines import nested, parse, unescape
from pipeline.events.native import to_wire


def _text(*names: str) -> pl.Schema:
    return pl.Schema(dict.fromkeys(names, pl.String))


PAYLOAD: Final = _text(
    "id", "litellm_call_id", "trace_id", "session_id", "call_type", "stream", "status", "custom_llm_provider", "model",
    "startTime", "endTime", "completionStartTime", "prompt_tokens", "completion_tokens", "end_user", "messages",
    "response", "model_parameters", "metadata", "requester_ip_address", "user_agent", "error_information",
    "error_str", "response_time", "api_base",
)  # fmt: skip
_METADATA: Final = _text(
    "user_api_key_team_id", "user_api_key_user_id", "user_api_key_org_id", "user_api_key_hash",
    "user_api_key_end_user_id", "requester_ip_address", "requester_custom_headers", "user_agent", "usage_object",
)  # fmt: skip
_PARAMETERS: Final = _text(
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "seed", "stream", "logprobs",
    "reasoning_effort", "response_format", "tools", "functions", "user",
)  # fmt: skip
_USAGE: Final = _text("prompt_tokens_details", "completion_tokens_details", "cache_read_input_tokens")
_DETAILS: Final = _text("cached_tokens", "reasoning_tokens")
_ERROR: Final = _text("error_code", "error_class")
_HEADERS: Final = _text("user-agent", "x-ja4", "x-stainless-lang", "x-stainless-package-version")
_RESPONSE: Final = _text("choices", "output", "id")
_CHOICES: Final = pl.Schema(
    {
        "m": pl.List(
            pl.Struct({"finish_reason": pl.String, "text": pl.String, "message": pl.Struct({"content": pl.String})})
        )
    }
)
_OPERATIONS: Final = {
    "completion": "chat",
    "text_completion": "completion",
    "embedding": "embedding",
    "responses": "chat",
}


def wire_of_litellm(lines: pl.DataFrame) -> pl.DataFrame:
    """ITEMS that are payloads of LiteLLM → WIRE. The account is the team, else the user, else the organisation."""
    top = parse(lines["line"], PAYLOAD).columns
    metadata = nested(top["metadata"], _METADATA)
    parameters = nested(top["model_parameters"], _PARAMETERS)
    usage = nested(metadata["usage_object"], _USAGE)
    read, written = (nested(usage[name], _DETAILS) for name in ("prompt_tokens_details", "completion_tokens_details"))
    error = nested(top["error_information"], _ERROR)
    headers = nested(metadata["requester_custom_headers"], _HEADERS)
    answer = nested(top["response"], _RESPONSE)
    finish, said = of_choices(answer["choices"])
    failed = pl.col("status") == "failure"
    code = pl.when(pl.lit(error["error_code"]).str.contains(r"^\d{3}$")).then(pl.lit(error["error_code"]))
    start, end = (pl.col(name).cast(pl.Float64, strict=False) for name in ("startTime", "endTime"))
    first = pl.col("completionStartTime").cast(pl.Float64, strict=False)
    columns = lines.hstack(
        top.select(
            _first(top["id"], top["litellm_call_id"]).alias("event_id"),
            pl.col("startTime").alias("timestamp"),
            _first(
                metadata["user_api_key_team_id"], metadata["user_api_key_user_id"], metadata["user_api_key_org_id"]
            ).alias("account_id"),
            pl.col("model"),
            pl.lit(metadata["user_api_key_hash"]).alias("api_key_id"),
            _first(top["end_user"], metadata["user_api_key_end_user_id"], parameters["user"]).alias("user_id"),
            _first(top["session_id"], top["trace_id"]).alias("conversation_id"),
            pl.col("custom_llm_provider").alias("provider"),
            pl.col("call_type").str.strip_prefix("a").replace(_OPERATIONS).alias("operation"),
            pl.coalesce(code, pl.when(failed).then(pl.lit("500")).otherwise(pl.lit("200"))).alias("status"),
            pl.when(failed).then(_first(error["error_class"])).alias("error_type"),
            pl.lit(finish).alias("finish_reason"),
            ((end - start) * 1000).cast(pl.String).alias("latency_ms"),
            # LiteLLM sets it to the end where nothing was streamed: no time to a first token then.
            pl.when((first > start) & ((first < end) | (pl.col("stream") == "true")))
            .then(((first - start) * 1000).cast(pl.String))
            .alias("ttft_ms"),
            pl.col("prompt_tokens").alias("input_tokens"),
            pl.col("completion_tokens").alias("output_tokens"),
            _first(read["cached_tokens"], usage["cache_read_input_tokens"]).alias("cached_tokens"),
            pl.lit(written["reasoning_tokens"]).alias("reasoning_tokens"),
            _first(parameters["max_tokens"], parameters["max_completion_tokens"]).alias("max_tokens"),
            _first(parameters["tools"], parameters["functions"]).alias("tools"),
            _first(top["stream"], parameters["stream"]).alias("stream"),
            *(
                pl.lit(parameters[name]).alias(name)
                for name in ("temperature", "top_p", "n", "seed", "logprobs", "reasoning_effort", "response_format")
            ),
            _first(top["requester_ip_address"], metadata["requester_ip_address"]).alias("ip"),
            _first(headers["user-agent"], metadata["user_agent"], top["user_agent"]).alias("user_agent"),
            pl.lit(headers["x-ja4"]).alias("ja4"),
            _sdk(headers).alias("sdk"),
            pl.when(pl.col("messages").str.starts_with("[")).then("messages").alias("messages"),
            pl.when(~pl.col("messages").str.starts_with("[")).then("messages").alias("prompt"),
            _first(said, answer["output"]).alias("response"),
        )
    )
    return to_wire(columns, "litellm")


def of_choices(choices: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Finish reason of the first choice, and the text of all, of lists of choices as JSON."""
    lists = choices.to_frame("c").select(
        pl.when(pl.col("c").str.starts_with("["))
        .then(pl.concat_str(pl.lit('{"m":'), "c", pl.lit("}")))
        .otherwise(pl.lit("{}"))
    )
    found = nested(lists.to_series(), _CHOICES)
    first = pl.col("m").list.first().struct
    texts = pl.col("m").list.eval(
        pl.coalesce(pl.element().struct.field("message").struct.field("content"), pl.element().struct.field("text"))
    )
    said = found.select(
        first.field("finish_reason").alias("finish"),
        pl.when(texts.list.drop_nulls().list.len() > 0).then(texts.list.join(r"\n", ignore_nulls=True)).alias("said"),
    )
    said = unescape(said)
    return said["finish"], said["said"]


def _first(*columns: pl.Series) -> pl.Expr:
    """The first that is there; LiteLLM writes empty text for what it does not know."""
    return pl.coalesce(pl.when(pl.lit(column) != "").then(pl.lit(column)) for column in columns)


def _sdk(headers: pl.DataFrame) -> pl.Expr:
    language, version = (pl.lit(headers[name]) for name in ("x-stainless-lang", "x-stainless-package-version"))
    return pl.when(language.is_not_null()).then(pl.concat_str(language, version, separator=" ", ignore_nulls=True))
