"""CPU-seconds per million events, and bytes an event, of ways to encode batches: `python -m benchmarks.batches`.

From ingest's frames to bytes and back, as the worker reads them; the same of a worker's deltas. No broker.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl

from benchmarks.load import load
from benchmarks.quick import PARTITIONS, raw_frame
from pipeline.clock import SystemClock
from pipeline.config import Settings
from pipeline.events.batch import encode_events
from pipeline.events.decode import Decoder
from pipeline.events.ipc import read_frame, write_frame
from pipeline.fingerprint.partition import PartitionState
from pipeline.ingest.outbound import by_partition

SIZES: Final = (20_000, 2_500, 250)  # events in all partitions: of a backlog, of 10,000 events/s, of 1,000
ROUNDS: Final = 9
Write = Callable[[pl.DataFrame], bytes]


def zstd(frame: pl.DataFrame) -> bytes:
    """As Polars writes a file."""
    sink = io.BytesIO()
    frame.write_ipc(sink, compression="zstd")
    return sink.getvalue()


WRITERS: Final[dict[str, Write]] = {"zstd": zstd, "lz4": write_frame}
# Without columns that are null throughout, as batches of events are.
OF_EVENTS: Final[dict[str, Write]] = {**WRITERS, "lz4, less nulls": encode_events}


def main() -> None:
    """Print a line a writer, table and size."""
    events = (
        Decoder(Settings())
        .decode(raw_frame([message for chunk in load(SIZES[0]) for message in chunk]), now=datetime.now(UTC))
        .events
    )
    print(f"{'':38}write   read   CPU-s/million   bytes an event")
    for size in SIZES:
        parts = by_partition(events[:size], PARTITIONS)
        for what, frames, writers in (("events", list(parts.values()), OF_EVENTS), ("deltas", _deltas(parts), WRITERS)):
            for name, write in writers.items():
                line = f"{size:,} in {PARTITIONS} {what}, {name}"
                written, read, length = _spent(write, frames)
                print(f"{line:38}{written / size:5.2f}  {read / size:5.2f}   {length / size:26.0f}")


def _deltas(parts: dict[int, pl.DataFrame]) -> list[pl.DataFrame]:
    found = []
    for number, frame in parts.items():
        state = PartitionState(number, 0, Settings().worker, SystemClock())
        state.add(0, frame)
        delta = state.emit(generation=1, committed=0)
        assert delta is not None
        found += [table for table in (delta.panes, delta.links, delta.distributions, delta.loops) if table.height]
    return found


def _spent(write: Write, frames: Sequence[pl.DataFrame]) -> tuple[float, float, int]:
    """Least CPU microseconds of some rounds of writing and of reading all of them; bytes of all."""
    writing, reading, values = [], [], [write(frame) for frame in frames]
    for _ in range(ROUNDS):
        begun = time.process_time()
        values = [write(frame) for frame in frames]
        written = time.process_time()
        for value in values:
            read_frame(value)
        reading.append(time.process_time() - written)
        writing.append(written - begun)
    return min(writing) * 1e6, min(reading) * 1e6, sum(map(len, values))


if __name__ == "__main__":
    main()
