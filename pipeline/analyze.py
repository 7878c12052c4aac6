"""Files → store in one process, no broker: the same operators as the services, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from pipeline.clock import Clock
from pipeline.config import Place, Settings, beside
from pipeline.errors import UsageError
from pipeline.events.decode import Decoder
from pipeline.events.schema import DEAD_LETTERS, RAW
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.schema import Delta
from pipeline.ingest.files import input_size, read_files
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.intake import Intake
from pipeline.serve.releases import Release, check_release
from pipeline.serve.step import Stepper
from pipeline.store import Store, next_offsets
from pipeline.store.connection import interruptible

CHUNK_BYTES = 16_777_216
_TOPIC = "analyze"  # the name that the file's own log of what it took in has in the store
_SAID_BY = "analyze"


@dataclass(frozen=True, slots=True)
class AnalyzeResult:
    """What became of the input. Every item is counted, a duplicate, dead, or no request at all."""

    events: int
    duplicates: int
    dead_letters: int
    ignored: int
    named_accounts: int
    campaigns: int

    def __str__(self) -> str:
        return (
            f"{self.events} events, {self.duplicates} duplicates, {self.dead_letters} dead letters,"
            f" {self.ignored} ignored; {self.named_accounts} accounts named, {self.campaigns} campaigns"
        )


@interruptible()
def analyze(
    paths: Sequence[Path],
    store_path: Place,
    settings: Settings,
    *,
    clock: Clock,
    metrics: Metrics,
    accounts: Sequence[Mapping[str, object]] = (),
    releases: Mapping[str, datetime] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnalyzeResult:
    """Read files into a store and look at them with every rule.

    The store may be new or one that ``analyze`` made. Files given twice are counted twice, except for what the
    duplicate check of one run finds.

    Args:
        paths: what ``read_files`` reads.
        store_path: the DuckDB file, or the DuckLake; made where missing.
        settings: of decoding, panes, rules and the store.
        clock: wall time judges the age of events.
        metrics: counts what the services would.
        accounts: facts about accounts, checked; they are stored before anything is looked at.
        releases: when models were released, where the caller knows; told with the facts.
        progress: called with bytes read and bytes in all.

    Raises:
        InputNotFoundError: a file is missing.
        StoreError: the store cannot be used.
        UsageError: the store belongs to a running pipeline: its offsets are a broker's.
    """
    total = input_size(paths)
    beside(store_path).parent.mkdir(parents=True, exist_ok=True)
    with Store.open(store_path, settings.store, clock=clock) as store:
        for topic in (settings.topics.fingerprints, settings.topics.dead_letter):
            if next_offsets(store.connection, topic):
                raise UsageError(f"{store_path}: belongs to a pipeline with a broker", next_step="name another --store")
        begin = next_offsets(store.connection, _TOPIC).get(0, 0)
        run = _Run(store, settings, clock, metrics, begin)
        run.tell(accounts, releases or {})
        read = 0

        def consumed(done: int) -> None:
            nonlocal read
            read = done

        for number, raw in enumerate(read_files(paths, chunk_bytes=CHUNK_BYTES, consumed=consumed)):
            # A message waits for the rest of its trace until the next chunk, no longer.
            run.take(raw.with_columns(received_s=pl.lit(float(number))), hold_after=number - 0.5)
            if progress is not None:
                progress(read, total or read)
        run.take(RAW.to_frame(), hold_after=None)
        return run.finish()


class _Run:
    """One run over the input: what is held, what is pending, what was counted."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, metrics: Metrics, begin: int) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._decoder = Decoder(settings)
        self._state = PartitionState(0, begin, settings.worker, clock)
        self._stepper = Stepper(store, load_rules(settings.rules), settings, clock, metrics, partitions=1)
        self._held = RAW.to_frame()
        self._events = self._duplicates = self._dead = self._ignored = 0

    def tell(self, accounts: Sequence[Mapping[str, object]], releases: Mapping[str, datetime]) -> None:
        """Store facts about accounts, and when models were released."""
        words = [check_release(Release(model, "add", _SAID_BY, when)) for model, when in sorted(releases.items())]
        self._stepper.step(Intake(accounts=accounts, releases=words))

    def take(self, raw: pl.DataFrame, *, hold_after: float | None) -> None:
        """Decode a chunk with what was held before, and apply it."""
        raw = pl.concat([self._held, raw])
        decoded = self._decoder.decode(raw, now=self._clock.now(), hold_after=hold_after)
        self._held = held_rows(raw, decoded.held)
        self._ignored += decoded.ignored
        self._dead += decoded.dead.height
        self._state.add(self._state.next_offset, decoded.events)
        self._apply(decoded.dead)

    def finish(self) -> AnalyzeResult:
        """The input has ended: everything that was seen is closed."""
        self._step(self._state.close(generation=0, committed=self._state.next_offset), DEAD_LETTERS.to_frame())
        [named, campaigns] = self._store.connection.execute(
            "select (select count(*) from suspicious_accounts), (select count(*) from campaigns)"
        ).fetchone() or (0, 0)
        return AnalyzeResult(self._events, self._duplicates, self._dead, self._ignored, int(named), int(campaigns))

    def _apply(self, dead: pl.DataFrame) -> None:
        delta = self._state.emit(generation=0, committed=self._state.next_offset, at_end=False)
        assert delta is not None, "a chunk moves the offset on"
        self._step(delta, dead)

    def _step(self, delta: Delta, dead: pl.DataFrame) -> None:
        self._events += delta.events
        self._duplicates += delta.duplicates
        self._stepper.step(Intake([delta], dead, (), {(_TOPIC, 0): delta.to_offset}), epoch=_TOPIC)


def held_rows(raw: pl.DataFrame, held: Mapping[tuple[str, int], int]) -> pl.DataFrame:
    """The messages (RAW) that wait for the rest of their trace, by what ``Decoded.held`` says: handed in again next."""
    if not held:
        return RAW.to_frame()
    first = pl.DataFrame(
        [(topic, partition, offset) for (topic, partition), offset in held.items()],
        schema={"topic": pl.String(), "partition": pl.Int32(), "first": pl.Int64()},
        orient="row",
    )
    return (
        raw.join(first, on=["topic", "partition"], how="inner", maintain_order="left")
        .filter(pl.col("offset") >= pl.col("first"))
        .select(RAW.names())
    )
