"""Dead letters: what is kept of what could not be read, and its batches on the internal topic (Arrow IPC, zstd)."""

from __future__ import annotations

import io
from typing import Final

import msgspec
import polars as pl

from pipeline.config import PrivacySettings
from pipeline.errors import CorruptBatchError
from pipeline.events.ipc import ArrowError, read_frame
from pipeline.events.schema import DEAD_LETTERS

VERSION_HEADER: Final = "stillwatch-dead-letter"
DEAD_LETTERS_VERSION: Final = b"1"

REDACTED: Final = "[redacted]"
# Fields that hold text in one of the formats, at any depth. `attributes` of OTLP are lists of key and value.
TEXT_FIELDS: Final = frozenset(
    {
        "system", "messages", "prompt", "response", "content", "input", "instructions", "choices", "output", "text",
        "reasoning_blobs", "tools", "functions", "arguments", "suffix", "body", "error_str", "traceback",
        "gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt",
        "gen_ai.completion", "events", "metadata", "proxy_server_request", "hidden_params",
    }
)  # fmt: skip
_ENVELOPES: Final = frozenset({"request", "response", "body"})
_NUMBERED: Final = ("gen_ai.prompt.", "gen_ai.completion.")
_DEPTH: Final = 64


def encode_dead_letters(dead: pl.DataFrame) -> bytes:
    """Serialise a frame with the columns of DEAD_LETTERS."""
    sink = io.BytesIO()
    dead.write_ipc(sink, compression="zstd")
    return sink.getvalue()


def decode_dead_letters(value: bytes | None, *, topic: str = "", partition: int = -1, offset: int = -1) -> pl.DataFrame:
    """Read what ``encode_dead_letters`` wrote.

    Raises:
        CorruptBatchError: the bytes are no Arrow file or its columns are not those of DEAD_LETTERS.
    """
    try:
        frame = read_frame(value or b"")
    except ArrowError as error:
        raise CorruptBatchError(topic, partition, offset, f"no Arrow batch: {error}") from None
    if frame.schema != DEAD_LETTERS:
        raise CorruptBatchError(topic, partition, offset, "columns differ from the dead letters' schema, version 1")
    if frame["reason"].null_count() or frame["seen_at"].null_count():
        raise CorruptBatchError(topic, partition, offset, "a dead letter without its reason or its time")
    return frame


def keep_payload(payload: bytes | None, settings: PrivacySettings) -> bytes | None:
    """What may be kept of a payload: capped; under ``redacted`` only what parses as JSON, its text fields taken out.

    Bytes that do not parse are kept under ``full`` only: text cannot be told from the rest of them.
    """
    if payload is None or settings.dead_letter_payload == "none":
        return None
    if settings.dead_letter_payload == "full":
        return payload[: settings.dead_letter_bytes]
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return msgspec.json.encode(redact(value))[: settings.dead_letter_bytes]


def redact(value: object, depth: int = 0) -> object:
    """The same JSON value with every known text field's value replaced; nulls and envelopes stay."""
    if depth > _DEPTH:
        return REDACTED
    if isinstance(value, dict):
        # OTLP's attributes are pairs: there the field's name is a value.
        if isinstance(value.get("key"), str) and _is_text(value["key"]):
            return {"key": value["key"], "value": REDACTED}
        return {name: _redacted_field(str(name), field, depth) for name, field in value.items()}
    if isinstance(value, list):
        return [redact(item, depth + 1) for item in value]
    return value


def _redacted_field(name: str, field: object, depth: int) -> object:
    if field is None:
        return None
    if name in _ENVELOPES and isinstance(field, dict):
        return redact(field, depth + 1)
    return REDACTED if _is_text(name) else redact(field, depth + 1)


def _is_text(name: str) -> bool:
    return name.lower() in TEXT_FIELDS or name.lower().startswith(_NUMBERED)
