"""Messages as JSON → plain text columns: system, last user prompt, response; how many messages and tool calls."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.json_lines import nested, parse, unescape

_MESSAGE: Final = pl.Struct(
    {
        "role": pl.String,
        "content": pl.String,
        "parts": pl.String,  # OpenTelemetry's and Gemini's word for content
        "tool_calls": pl.String,
        "type": pl.String,  # the Responses API mixes messages with calls
        "text": pl.String,
        "output": pl.String,
    }
)
_LINES: Final = pl.Schema({"m": pl.List(_MESSAGE)})
_PART: Final = pl.Struct({"type": pl.String, "text": pl.String, "content": pl.String, "parts": pl.String})
_PARTS: Final = pl.Schema({"m": pl.List(_PART)})
_CALLS: Final = pl.Schema({"m": pl.List(pl.Struct({"id": pl.String}))})
_LEVELS: Final = 3  # messages, their parts, and what a tool's part holds
_CALL_TYPES: Final = ("tool_call", "tool_use", "function_call")

# What text says, before it is dropped. `shape` is true where messages are no list of messages.
TEXT: Final = pl.Schema(
    {
        "system": pl.String,
        "prompt": pl.String,
        "earlier": pl.String,  # messages of the user before the prompt, a line each
        "prompt_chars": pl.UInt32,
        "response": pl.String,
        "messages": pl.UInt32,
        "tool_calls": pl.UInt32,
        "shape": pl.Boolean,
    }
)


def read_text(wire: pl.DataFrame) -> pl.DataFrame:
    """TEXT, a row for each of ``wire``. System messages are joined; the prompt is the last message of a user."""
    messages = _messages(wire["messages"])
    frame = pl.DataFrame(
        {
            "system": plain_text(wire["system"]),
            "prompt": plain_text(wire["prompt"]),
            "response": plain_text(wire["response"]),
        }
    ).hstack(messages)
    texts = frame.select(
        pl.concat_str("system", "m_system", separator="\n", ignore_nulls=True).alias("system"),
        pl.coalesce("m_prompt", "prompt").alias("prompt"),
        pl.col("m_earlier").alias("earlier"),
        pl.coalesce("m_chars", pl.col("prompt").str.len_chars()).alias("prompt_chars"),
        "response",
        "messages",
        "tool_calls",
        "shape",
    )
    nothing = frame["system"].is_null() & frame["m_system"].is_null()
    return texts.with_columns(pl.when(~nothing).then("system").alias("system")).cast(TEXT)


def plain_text(column: pl.Series, levels: int = _LEVELS) -> pl.Series:
    """Text as it is; of a JSON list of parts or messages the texts, a line each; of one part or message its text.

    Parts may stand in the content of messages, so many levels down; what is nested deeper stays JSON.
    """
    shaped = column.str.contains(r"^\s*(\[|\{)").fill_null(value=False)
    if not levels or not shaped.any():
        return column
    texts = column.filter(shaped).str.replace_all(r"[\r\n]", " ").str.strip_chars()
    lists = pl.select(pl.when(texts.str.starts_with("[")).then(texts).otherwise(pl.format("[{}]", texts))).to_series()
    read = parse(_wrap(lists), _PARTS)
    parts = unescape(read.columns.with_columns(read.line).explode("m").unnest("m"))
    inner = plain_text(pl.select(pl.coalesce(parts["content"], parts["parts"])).to_series(), levels - 1)
    joined = (
        parts.with_columns(inner.alias("content"))
        .group_by("line", maintain_order=True)
        .agg(pl.coalesce("text", "content").drop_nulls().str.join("\n").alias("plain"))
    )
    positions = shaped.arg_true()
    found = joined.select(pl.lit(positions).gather(pl.col("line")).alias("at"), "plain")
    rows = pl.DataFrame({"at": pl.arange(0, len(column), dtype=pl.UInt32, eager=True), "raw": column})
    # Text that only looks like JSON stays what it is.
    return rows.join(found, on="at", how="left", maintain_order="left").select(pl.coalesce("plain", "raw")).to_series()


def count_list(column: pl.Series) -> pl.Series:
    """Lengths of JSON lists of objects; null where there is no list."""
    texts = column.filter(column.is_not_null())
    if texts.is_empty():
        return pl.Series(column.name, [None] * len(column), dtype=pl.UInt32)
    lists = pl.select(pl.when(texts.str.starts_with("[")).then(texts)).to_series()
    lengths = nested(_wrap(lists), _CALLS)["m"].list.len()
    at = column.is_not_null().arg_true()
    return pl.Series(column.name, [None] * len(column), dtype=pl.UInt32).scatter(at, lengths)


def _messages(column: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"at": pl.arange(0, len(column), dtype=pl.UInt32, eager=True)})
    have = column.is_not_null()
    empty = {
        "m_system": pl.String,
        "m_prompt": pl.String,
        "m_earlier": pl.String,
        "m_chars": pl.UInt32,
        "messages": pl.UInt32,
    }
    if not have.any():
        return rows.with_columns(
            *(pl.lit(None, kind).alias(name) for name, kind in empty.items()),
            pl.lit(None, pl.UInt32).alias("tool_calls"),
            pl.lit(value=False).alias("shape"),
        ).drop("at")
    at = have.arg_true()
    texts = column.filter(have)
    read = parse(_wrap(texts), _LINES)
    told = read.columns.with_columns(pl.lit(at).gather(read.line).alias("at"))
    lengths = told.select("at", pl.col("m").list.len().alias("messages"))
    said = unescape(told.explode("m").unnest("m"))
    body = plain_text(pl.select(pl.coalesce(said["content"], said["parts"], said["text"], said["output"])).to_series())
    calls = count_list(said["tool_calls"]).fill_null(0)
    inline = pl.coalesce("content", "parts").str.count_matches(
        r'"type": ?"(tool_call|tool_use|function_call)"'
    ).fill_null(0) + pl.col("type").is_in(_CALL_TYPES).fill_null(value=False).cast(pl.UInt32)
    said = said.with_columns(
        body.alias("body"),
        (pl.lit(calls) + inline).alias("calls"),
        pl.col("role").str.to_lowercase().fill_null("user"),
    )
    steering = pl.col("role").is_in(["system", "developer"])
    asked = pl.col("body").filter(pl.col("role") == "user").drop_nulls()
    other = pl.col("body").filter(~steering & (pl.col("role") != "assistant")).drop_nulls()
    found = said.group_by("at", maintain_order=True).agg(
        pl.col("body").filter(steering).drop_nulls().alias("m_system"),
        pl.coalesce(asked.last(), other.last()).alias("m_prompt"),
        asked.head(asked.len().cast(pl.Int64) - 1).alias("m_earlier"),
        pl.col("body").filter(~steering).str.len_chars().sum().alias("m_chars"),
        pl.col("calls").sum().alias("tool_calls"),
    )
    found = found.with_columns(
        pl.when(pl.col("m_system").list.len() > 0).then(pl.col("m_system").list.join("\n")).alias("m_system"),
        pl.when(pl.col("m_earlier").list.len() > 0).then(pl.col("m_earlier").list.join("\n")).alias("m_earlier"),
    )
    bad = pl.DataFrame(
        {"at": at.gather(read.bad["line"]), "shape": [True] * len(read.bad)},
        schema={"at": pl.UInt32, "shape": pl.Boolean},
    )
    joined = rows
    for part in (found, lengths, bad):
        joined = joined.join(part, on="at", how="left", maintain_order="left")
    return joined.select(*empty, "tool_calls", pl.col("shape").fill_null(value=False))


def _wrap(lists: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"t": lists.fill_null("null").str.replace_all(r"[\r\n]", " ")})
    return frame.select(pl.concat_str(pl.lit('{"m":'), "t", pl.lit("}"))).to_series()
