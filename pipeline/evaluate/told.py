"""Decoded events as a gateway would send them that computes the features itself: native, without text.

Sent again they decode to the same events (tested), whatever format they came in, so that traffic of any format can be
put in one order with simulated traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from pipeline.analyze import held_rows
from pipeline.config import Settings
from pipeline.events.decode import Decoder
from pipeline.events.features import HASH_LISTS, HASHES, LENGTHS
from pipeline.events.schema import EVENTS, RAW
from pipeline.fingerprint.grouping import hex16
from pipeline.ingest.files import read_files
from pipeline.simulate import Chunk

# What native events and decoded ones name alike.
_SAME: Final = (
    "event_id", "timestamp", "account_id", "model", "api_key_id", "user_id", "conversation_id", "provider", "operation",
    "endpoint", "status", "error_type", "finish_reason", "refused", "latency_ms", "ttft_ms", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "temperature", "top_p", "max_tokens", "n", "seed", "stream",
    "logprobs", "reasoning_effort", "response_format", "message_count", "tool_count", "tool_call_count", "ip", "asn",
    "country",
)  # fmt: skip
_CHUNK_EVENTS: Final = 10_000


def read_events(paths: Sequence[Path], settings: Settings, *, now: datetime) -> tuple[pl.DataFrame, int]:
    """The events of files that ``analyze`` reads (EVENTS), account ids as they came; and how many items were refused.

    All is in memory, about 500 bytes an event.
    """
    frames, refused = [], 0
    for events, dead in _decoded(read_files(paths), settings, now=now):
        frames.append(events)
        refused += dead
    return pl.concat(frames) if frames else EVENTS.to_frame(), refused


def decoded(events: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """Native events, text and all, as decoded (EVENTS), in the same order."""
    raw = (
        _raw(Chunk(events.slice(first, _CHUNK_EVENTS)).messages(), first)
        for first in range(0, events.height, _CHUNK_EVENTS)
    )
    frames = [frame for frame, _ in _decoded(raw, Settings(), now=now)]
    return pl.concat(frames) if frames else EVENTS.to_frame()


def told(events: pl.DataFrame) -> pl.DataFrame:
    """Decoded events (EVENTS) as native ones; what was made of their text stands in ``content``."""
    # A hash of a block's hash tells blocks apart as well as the hash did.
    blobs = _spelt_lists(events["reasoning_blobs"])
    return events.select(*_SAME, pl.col("client").alias("user_agent")).with_columns(blobs, _content(events))


def _decoded(
    frames: Iterator[pl.DataFrame], settings: Settings, *, now: datetime
) -> Iterator[tuple[pl.DataFrame, int]]:
    privacy = settings.privacy.model_copy(update={"pseudonymise": ()})
    decoder = Decoder(settings.model_copy(update={"privacy": privacy}))
    waiting = RAW.to_frame()
    for number, frame in enumerate(frames):
        raw = pl.concat([waiting, frame.with_columns(received_s=pl.lit(float(number)))])
        # A message waits for the rest of its trace until the next piece, as in ``analyze``.
        made = decoder.decode(raw, now=now, hold_after=number - 0.5)
        waiting = held_rows(raw, made.held)
        yield made.events, made.dead.height
    made = decoder.decode(waiting, now=now, hold_after=None)
    yield made.events, made.dead.height


def _raw(messages: Sequence[bytes], first: int) -> pl.DataFrame:
    offsets = pl.int_range(first, first + len(messages), dtype=pl.Int64, eager=True).alias("offset")
    given = pl.DataFrame({"value": messages}, schema={"value": pl.Binary()}).with_columns(
        offsets,
        topic=pl.lit("evaluate"),
        partition=pl.lit(0, pl.Int32),
        format=pl.lit("native"),
        received_s=pl.lit(0.0),
    )
    return given.select(RAW.names())


def _content(events: pl.DataFrame) -> pl.Series:
    """What ``content`` takes (docs/events.md); null where there was no text, nor anything made of it."""
    hashes = [spelt(events[name]).alias(name) for name in HASHES]
    frame = events.select(*LENGTHS, "language", "request_kind").with_columns(
        *hashes, *(_spelt_lists(events[name]) for name in HASH_LISTS), _spelt_bytes(events["distribution"])
    )
    silent = pl.all_horizontal(pl.all().is_null())
    return frame.select(pl.when(~silent).then(pl.struct(pl.all())).alias("content")).to_series()


def _spelt_lists(lists: pl.Series) -> pl.Series:
    """Lists of hashes as lists of 16 hexadecimal digits; null stays null."""
    rows = lists.to_frame("list").with_row_index("row").drop_nulls("list").explode("list", empty_as_null=True)
    back = (
        rows.with_columns(spelt(rows["list"]).alias("list"))
        .group_by("row", maintain_order=True)
        .agg(pl.col("list").drop_nulls())
    )
    whole = pl.DataFrame({"row": pl.int_range(0, len(lists), dtype=pl.UInt32, eager=True)})
    return whole.join(back, on="row", how="left", maintain_order="left")["list"].alias(lists.name)


def _spelt_bytes(arrays: pl.Series) -> pl.Series:
    """Arrays of bytes as two hexadecimal digits a byte; null stays null."""
    there = arrays.is_not_null().arg_true()
    nothing = pl.Series(arrays.name, [None], dtype=pl.String).new_from_index(0, len(arrays))
    raw = arrays.drop_nulls().to_numpy().tobytes().hex()
    size = len(raw) // max(len(there), 1)
    return nothing.scatter(there, [raw[at : at + size] for at in range(0, len(raw), size)]) if len(there) else nothing


def spelt(hashes: pl.Series) -> pl.Series:
    """16 hexadecimal digits each; null stays null."""
    there = hashes.is_not_null().arg_true()
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(hashes))
    return nothing.scatter(there, hex16(hashes.gather(there))) if len(there) else nothing
