"""The ingest service: poll, decode, publish with the offsets, again; what happens when one of these fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import polars as pl
import tenacity
from kafka.errors import KafkaError

from pipeline import logs
from pipeline.broker import check_broker, ensure_topics, has_transactions, unheld
from pipeline.broker.probe import unavailable
from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.errors import BrokerUnavailableError, StillwatchError
from pipeline.events.schema import Decoded
from pipeline.faults import hit
from pipeline.ingest.consume import Member
from pipeline.ingest.outbound import messages
from pipeline.ingest.pending import Pending, Source, next_offsets, waiting
from pipeline.ingest.publish import FlushingPublisher, Publisher, TransactionalPublisher
from pipeline.ingest.watch import Watch
from pipeline.metrics import Metrics

HELD_EVERY_S: Final = 0.5  # rows that wait for a trace are decoded again no oftener than this
CLOSE_TIMEOUT_S: Final = 5.0
LONGEST_BACKOFF_S: Final = 5.0

log = logs.get("ingest")


class Decode(Protocol):
    """What ``pipeline.events.decode.Decoder`` does."""

    def decode(self, raw: pl.DataFrame, *, now: datetime, hold_after: float | None = None) -> Decoded:
        """Raw rows in, events and dead letters out."""
        ...


class DrainTimeoutError(StillwatchError):
    """The batch in hand could not be finished in time; it was not committed, and comes again."""

    exit_code = 75


class Ingest:
    """The loop's state; ``step`` is one round. Single-threaded.

    Args:
        settings: the tree.
        decoder: raw rows → events and dead letters.
        clock: dates what comes and judges how long spans wait.
        metrics: counted when a round is committed, so that what is read again is not counted twice.
        partitions: of the event topic.
        transactions: whether the broker has them.
    """

    def __init__(
        self,
        settings: Settings,
        decoder: Decode,
        *,
        clock: Clock,
        metrics: Metrics,
        partitions: int,
        transactions: bool,
    ) -> None:
        self._settings = settings
        self._decoder = decoder
        self._clock = clock
        self._metrics = metrics
        self._partitions = partitions
        self._pending = Pending.empty()
        self._held = False
        self._decoded_s = 0.0
        self._failed = False
        self._committed: dict[Source, int] = {}
        self.member = Member(settings, clock, self._forget)
        kind = TransactionalPublisher if transactions else FlushingPublisher
        self._publisher: Publisher = kind(settings, self.member)
        self._watch = Watch(settings.ingest.rejoin_after_s, clock)

    def step(self) -> None:
        """Poll and finish what came.

        Raises:
            KafkaError: nothing of the round counts; call ``failed``, then step again.
        """
        if self._failed:
            self._begin_again()
            self.member.rewind()
            self._failed = False
        if self._watch.overdue(working=self.member.working) and self._forgotten():
            log.warning("consumer_renewed", without_partitions_s=self._settings.ingest.rejoin_after_s)
            self._begin_again()
            self.member.renew(CLOSE_TIMEOUT_S)
            self._metrics.count("ingest_consumers_renewed")
        self._pending.add(self.member.poll(self._pending.bytes))
        self._metrics.set("ingest_paused_partitions", self.member.paused)
        now_s = self._clock.monotonic()
        if self._pending.raw.is_empty() or (self._held and now_s - self._decoded_s < HELD_EVERY_S):
            return
        self._decoded_s = now_s
        self._finish()

    def failed(self, error: BaseException | None) -> None:
        """The last step raised: the next one begins again from what is committed."""
        self._failed = True
        log.warning("ingest_retry", error=type(error).__name__, detail=str(error)[:300])

    def close(self) -> None:
        """Leave the group and close the producer; rows in hand were not committed and go to the next member."""
        self._publisher.close()
        self.member.close(CLOSE_TIMEOUT_S)

    def _begin_again(self) -> None:
        self._publisher.reset()
        self._pending.clear()
        self._committed.clear()
        self._held = False

    def _forgotten(self) -> bool:
        """Whether there is work that nobody in the group does. Blocks for seconds while no broker answers."""
        try:
            free = unheld(self._settings, self._settings.ingest.group, self._settings.topics.requests)
        except BrokerUnavailableError:
            return False
        return not self.member.joined if free is None else bool(free)

    def _finish(self) -> None:
        raw = self._pending.raw
        hold_after = self._clock.monotonic() - self._settings.otel.join_wait_s
        now = self._clock.now()
        decoded = self._decoder.decode(raw, now=now, hold_after=hold_after)
        hit("ingest.decoded")
        offsets = next_offsets(raw, decoded.held)
        moved = {source: offset for source, offset in offsets.items() if self._committed.get(source) != offset}
        left = waiting(raw, decoded.held)
        if left.height < raw.height:
            out = messages(
                decoded.events,
                decoded.dead,
                topics=self._settings.topics,
                partitions=self._partitions,
                batch_events=self._settings.ingest.batch_events,
                seen_at=now,
            )
            self._publisher.publish(out, moved)
            self._committed |= moved
            self._count(decoded, raw.height - left.height)
            log.debug("committed", offsets={f"{topic}[{part}]": offset for (topic, part), offset in moved.items()})
        self._pending.keep(left)
        self._held = left.height > 0

    def _count(self, decoded: Decoded, rows: int) -> None:
        self._metrics.count("ingest_messages", rows)
        self._metrics.count("ingest_ignored", decoded.ignored)
        for name, count in decoded.events["source_format"].value_counts().iter_rows():
            self._metrics.count("ingest_events", count, format=name or "native")
        for reason, count in decoded.dead["reason"].value_counts().iter_rows():
            self._metrics.count("ingest_dead_letters", count, reason=reason)

    def _forget(self, sources: object) -> None:
        revoked = set(sources)  # type: ignore[call-overload]
        self._pending.drop(revoked)
        for source in revoked:
            self._committed.pop(source, None)


def run_ingest(
    settings: Settings,
    *,
    clock: Clock,
    metrics: Metrics,
    stop: threading.Event,
    decoder: Decode | None = None,
) -> None:
    """Run until ``stop`` is set, then finish the batch in hand and leave the group.

    A broker that goes away is waited for. ``decoder`` is for tests; by default the real one.

    Raises:
        BrokerUnavailableError: at start, nobody answers.
        InputNotFoundError: at start, a topic is missing and may not be created.
        DrainTimeoutError: the batch in hand was not finished ``ingest.drain_timeout_s`` after ``stop``.
    """
    from pipeline.events.decode import Decoder  # noqa: PLC0415 - slow to import

    check_broker(settings)
    partitions = ensure_topics(settings)[settings.topics.events]
    transactions = has_transactions(settings)
    try:
        ingest = Ingest(
            settings,
            decoder or Decoder(settings),
            clock=clock,
            metrics=metrics,
            partitions=partitions,
            transactions=transactions,
        )
    except KafkaError as error:
        raise unavailable(settings, error) from error
    log.info("ingest_started", topic=settings.topics.requests, transactions=transactions, partitions=partitions)
    # A producer whose broker is away cannot be interrupted; so the loop has a thread, and the drain a limit.
    failure: list[BaseException] = []
    thread = threading.Thread(target=_loop, args=(ingest, stop, failure.append), name="ingest", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.is_set():
        thread.join(0.1)
    thread.join(settings.ingest.drain_timeout_s)
    if failure:
        raise failure[0]
    if thread.is_alive():
        raise DrainTimeoutError(
            f"ingest did not finish its batch within {settings.ingest.drain_timeout_s:g} s",
            next_step="nothing is lost: it was not committed and is read again; look whether the broker answers",
        )
    log.info("ingest_stopped")


def _loop(ingest: Ingest, stop: threading.Event, failed: Callable[[BaseException], None]) -> None:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(KafkaError),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_BACKOFF_S),
        stop=tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=lambda state: ingest.failed(state.outcome.exception() if state.outcome else None),
        reraise=True,
    )
    try:
        while not stop.is_set():
            try:
                retrying(ingest.step)
            except KafkaError:
                if not stop.is_set():
                    raise
                log.warning("ingest_stopped_unfinished")
        ingest.close()
    except BaseException as error:  # noqa: BLE001 - raised by the thread that waits; a panic of Polars is one too
        failed(error)
