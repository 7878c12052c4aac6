"""Raw frames and decoded rows, short to write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from pipeline.config import Settings
from pipeline.events.decode import Decoder
from pipeline.events.schema import DEAD_LETTERS, EVENTS, RAW, Decoded

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
EVENT: Mapping[str, Any] = {
    "event_id": "e1",
    "timestamp": "2026-01-01T00:00:00Z",
    "account_id": "acct",
    "model": "large-3",
}


def event(**fields: Any) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


def raw(
    *values: bytes | None, format_name: str | None = None, received_s: float = 0.0, partition: int = 0
) -> pl.DataFrame:
    rows = [("api.requests", partition, offset, format_name, value, received_s) for offset, value in enumerate(values)]
    return pl.DataFrame(rows, schema=RAW, orient="row")


def decode(*values: bytes | None, settings: Settings | None = None, format_name: str | None = None) -> Decoded:
    decoded = Decoder(settings or Settings()).decode(raw(*values, format_name=format_name), now=NOW)
    assert decoded.events.schema == EVENTS
    assert decoded.dead.schema == DEAD_LETTERS
    return decoded


def one(*values: bytes | None, settings: Settings | None = None, format_name: str | None = None) -> dict[str, Any]:
    decoded = decode(*values, settings=settings, format_name=format_name)
    assert decoded.dead.rows(named=True) == []
    (row,) = decoded.events.rows(named=True)
    return row


def reasons(decoded: Decoded) -> list[tuple[int, int, str]]:
    return decoded.dead.select("source_offset", "item", "reason").rows()
