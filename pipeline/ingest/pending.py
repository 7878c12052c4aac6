"""What was polled and is not done: which rows wait for the rest of their trace, and which offsets may be committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

from pipeline.events.schema import RAW
from pipeline.ingest.records import size_bytes

Source = tuple[str, int]  # topic, partition


def waiting(raw: pl.DataFrame, held: Mapping[Source, int]) -> pl.DataFrame:
    """The rows that a decoder did not take: of each held partition, those from the held offset on."""
    parts = [
        raw.filter((pl.col("topic") == topic) & (pl.col("partition") == partition) & (pl.col("offset") >= offset))
        for (topic, partition), offset in held.items()
    ]
    return pl.concat(parts) if parts else raw.clear()


def next_offsets(raw: pl.DataFrame, held: Mapping[Source, int]) -> dict[Source, int]:
    """By partition, the offset to read from after a restart: behind the last row, or the held one."""
    last = raw.group_by("topic", "partition").agg(pl.col("offset").max() + 1)
    after = {(topic, partition): offset for topic, partition, offset in last.iter_rows()}
    return after | dict(held)


@dataclass(slots=True)
class Pending:
    """Rows kept from poll to poll. Bounded by whoever polls: past its limit partitions are paused."""

    raw: pl.DataFrame
    bytes: int = 0

    @classmethod
    def empty(cls) -> Pending:
        """Nothing in hand."""
        return cls(RAW.to_frame())

    def add(self, raw: pl.DataFrame) -> None:
        """Rows that were polled."""
        if raw.height:
            self.raw = pl.concat([self.raw, raw]) if self.raw.height else raw
            self.bytes += size_bytes(raw)

    def keep(self, raw: pl.DataFrame) -> None:
        """Only these are left."""
        self.raw = raw
        self.bytes = size_bytes(raw)

    def drop(self, sources: Collection[Source]) -> None:
        """Forget partitions that are no longer ours."""
        if self.raw.height and sources:
            gone = pl.DataFrame(
                list(sources), schema={"topic": RAW["topic"], "partition": RAW["partition"]}, orient="row"
            )
            self.keep(self.raw.join(gone, on=["topic", "partition"], how="anti", maintain_order="left"))

    def clear(self) -> None:
        """Forget all: it will be read again."""
        self.keep(self.raw.clear())
