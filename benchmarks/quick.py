"""`make bench-quick`: whether a stage has become much dearer, as a ratio to the floor in the same run. No broker.

The floor is job J in Polars over the same events, batch by batch, nothing kept: what nobody can be much below. Each
stage's own work is done in this process, on the same events, in turns with the floor; its CPU-seconds an event are
divided by the floor's of the same turn, and the median of the turns is held against `benchmarks/results/quick.json`.
Other load and other machines move both. `--record` writes that file anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from benchmarks import decode as texts
from benchmarks.load import load
from benchmarks.peers.floor.polars_job import merged, partial
from benchmarks.results import record, recorded
from pipeline.clock import SystemClock
from pipeline.config import Settings
from pipeline.events.batch import decode_events
from pipeline.events.decode import Decoder
from pipeline.events.schema import RAW
from pipeline.fingerprint.codec import encode_delta
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.schema import Delta
from pipeline.ingest.outbound import Message, messages
from pipeline.store import Store, apply_deltas
from pipeline.store.upkeep import Upkeep

EVENTS: Final = 60_000
TEXTS: Final = 4_000
BATCH: Final = 20_000  # of a backlog
STEADY_BATCH: Final = 2_500  # of 10,000 events/s
PARTITIONS: Final = 4
TURNS: Final = 5
LIMIT: Final = 3.0  # so many times the recorded ratio is a regression; other machines divide their time differently


def turn(raw: pl.DataFrame, with_text: pl.DataFrame, now: datetime, decoder: Decoder) -> dict[str, float]:
    """CPU-seconds an event of the floor and of each stage; ``decoder`` is that of all turns, as ingest has one."""
    settings = Settings()
    found: dict[str, float] = {}
    values = raw["value"].to_list()

    def spent(what: str, events: int, work: Callable[[], object]) -> None:
        begun = time.process_time()
        work()
        found[what] = (time.process_time() - begun) / events

    def floor() -> None:
        merged([partial(values[at : at + BATCH]) for at in range(0, EVENTS, BATCH)])

    def read(frame: pl.DataFrame, size: int, at: datetime = now) -> None:
        for part in frame.iter_slices(size):
            assert decoder.decode(part, now=at).events.height == part.height

    sent: list[Message] = []

    def publish() -> None:
        none = decoded.dead
        for part in decoded.events.iter_slices(BATCH):
            made = messages(part, none, topics=settings.topics, partitions=PARTITIONS, batch_events=5_000, seen_at=now)
            sent.extend(made)

    deltas: list[Delta] = []

    def work() -> None:
        for number in range(PARTITIONS):
            state = PartitionState(number, 0, settings.worker, SystemClock())
            for offset, one in enumerate(message for message in sent if message.partition == number):
                state.add(offset, decode_events(one.value))
            delta = state.emit(generation=1, committed=0)
            assert delta is not None
            encode_delta(delta)
            deltas.append(delta)

    def store() -> None:
        with (
            tempfile.TemporaryDirectory() as place,
            Store.open(Path(place) / "quick.duckdb", settings.store, clock=SystemClock()) as opened,
        ):
            upkeep = Upkeep(opened)
            with opened.transaction() as tx:
                apply_deltas(tx, deltas)
            upkeep.turn(None)

    spent("floor", EVENTS, floor)
    spent("decode, a backlog", EVENTS, lambda: read(raw, BATCH))
    spent("decode, a steady stream", EVENTS, lambda: read(raw, STEADY_BATCH))
    spent("decode, with text", TEXTS, lambda: read(with_text, TEXTS, texts.NOW))
    decoded = decoder.decode(raw, now=now)
    spent("publish", EVENTS, publish)
    spent("worker", EVENTS, work)
    spent("store", EVENTS, store)
    return found


def ratios(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    """Median over the turns of each stage's cost, as a multiple of the floor's in the same turn."""
    return {what: median(one[what] / one["floor"] for one in turns) for what in turns[0] if what != "floor"}


def regressions(now: dict[str, float], expected: dict[str, float]) -> list[str]:
    """Stages that cost too much more than was recorded, or that nothing was recorded of."""
    return [what for what, ratio in now.items() if ratio > LIMIT * expected.get(what, 0.0)]


def raw_frame(values: Sequence[bytes]) -> pl.DataFrame:
    """Messages as ingest polls them."""
    frame = pl.DataFrame({"value": pl.Series(values, dtype=pl.Binary)}).with_row_index("offset")
    given = {
        "topic": pl.lit("api.requests"),
        "partition": pl.lit(0),
        "offset": pl.col("offset"),
        "value": pl.col("value"),
    }
    return frame.select(given.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in RAW.items())


def main() -> None:
    """Measure; print a table; end with 1 where a stage has become much dearer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep what was measured as what is to be expected")
    asked = parser.parse_args()
    now = datetime.now(UTC)
    raw = raw_frame([message for chunk in load(EVENTS) for message in chunk])
    with_text = raw_frame([json.dumps(texts.native(number, text=True)).encode() for number in range(TEXTS)])
    decoder = Decoder(Settings())
    turn(raw, with_text, now, decoder)  # imports and thread pools
    turns = [turn(raw, with_text, now, decoder) for _ in range(TURNS)]
    found = ratios(turns)
    if asked.record:
        record("quick", {"ratios": {what: round(ratio, 2) for what, ratio in found.items()}})
    expected: dict[str, float] = recorded("quick")["ratios"]
    floor = median(one["floor"] for one in turns)
    print(f"the floor: {floor * 1e6:.2f} CPU-s/million\n\n{'':24}of the floor  recorded")
    for what, ratio in found.items():
        print(f"{what:24}{ratio:12.2f}  {expected.get(what, 0.0):8.2f}")
    worse = regressions(found, expected)
    if worse:
        raise SystemExit(f"\nmore than {LIMIT:g} times what was recorded: {', '.join(worse)}")


if __name__ == "__main__":
    main()
