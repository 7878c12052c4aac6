"""The serving process: internal topics in, the store written, alerts out, HTTP answered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from pipeline import logs
from pipeline.broker import check_broker, ensure_topics, kafka_options, topic_epoch
from pipeline.clock import Clock
from pipeline.config import RuleSettings, Settings, beside
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Watched
from pipeline.delivery.outbox import DueMessage, Outcome, due, pending
from pipeline.errors import StillwatchError, StoreError, StoreLockedError
from pipeline.faults import hit
from pipeline.metrics import Metrics
from pipeline.rules.load import usable_rules
from pipeline.rules.meta import RECEIVERS
from pipeline.rules.watch import RuleWatch
from pipeline.serve.commands import run_command
from pipeline.serve.delivery import Delivery
from pipeline.serve.http import HttpServer
from pipeline.serve.intake import Intake, IntakeReader
from pipeline.serve.poll import PARTITION_FETCH_BYTES, Poll
from pipeline.serve.state import Seen, ServeState, count
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command
from pipeline.store import Store, new_epoch, next_offsets, stored_epochs
from pipeline.store.upkeep import Upkeep

HEALTH_EVERY_S = 1.0
RETRY_AFTER_S = 2.0  # a full disk is looked at again so often

_log = logs.get("serve")


def run_serve(
    settings: Settings,
    *,
    clock: Clock,
    metrics: Metrics,
    stop: threading.Event,
    file: Path | None = None,
    reread: Callable[[], RuleSettings] | None = None,
) -> None:
    """Serve until ``stop`` is set; then finish the transaction at hand and close.

    Rules are taken anew when their files change, or what ``reread`` gives when the settings' ``file`` does.

    Raises:
        BrokerUnavailableError: no broker at the start. One that goes away later is waited for.
        StoreLockedError: another process has the store open: a second ``serve``.
        StoreError: the store cannot be used.
        ConfigError: ``rules.directory`` is not there, or the address cannot be listened at.
        RuleFileError: there are rules, and none that can be used. Where some can, serve goes on with them.
    """
    found = usable_rules(settings.rules)
    rules = found.active()
    check_broker(settings)
    ensure_topics(settings)
    with ExitStack() as stack:
        beside(settings.store.path).parent.mkdir(parents=True, exist_ok=True)
        store = stack.enter_context(Store.open(settings.store.path, settings.store, clock=clock))
        consumer = stack.enter_context(closing(_consumer(settings)))
        assigned = _assign(consumer, settings)
        epoch = "/".join(topic_epoch(settings, topic) for topic in _topics(settings))
        _begin_epoch(store, epoch)
        _seek(consumer, store, assigned)
        partitions = sum(item.topic == settings.topics.fingerprints for item in assigned)
        stepper = Stepper(
            store, rules, settings, clock, metrics, partitions, watches_itself=True, paced=True, aside=True
        )
        stack.callback(stepper.close)
        state = ServeState(store, settings, clock, rules)
        commands: queue.SimpleQueue[tuple[Command, Future[Mapping[str, object]]]] = state.commands
        reach = Reach.of(settings.webhook.allow, http=settings.webhook.allow_http)
        delivery = Delivery(reach, settings.kafka, clock, metrics)
        stack.callback(delivery.close, settings.webhook.timeout_s)
        endpoints = Watched(settings, reach)
        stack.enter_context(HttpServer(settings, metrics, state))
        loop = _Loop(
            settings=settings,
            clock=clock,
            metrics=metrics,
            store=store,
            stepper=stepper,
            consumer=consumer,
            delivery=delivery,
            endpoints=endpoints,
            state=state,
            epoch=epoch,
            stop=stop,
            watch=RuleWatch(settings.rules, found, clock, metrics, file, reread),
        )
        _log.info("serve_started", store=str(settings.store.path), partitions=partitions)
        while not stop.is_set():
            loop.turn()
            _run_commands(commands, store, stepper, epoch)
        loop.finish()
    _log.info("serve_stopped")


@dataclass(slots=True, kw_only=True)
class _Loop:
    """What the writer does again and again; holds an intake that could not be stored yet."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    store: Store
    stepper: Stepper
    consumer: KafkaConsumer
    delivery: Delivery
    endpoints: Watched
    state: ServeState
    epoch: str
    stop: threading.Event
    watch: RuleWatch | None = None
    _reader: IntakeReader = field(init=False)
    _poll: Poll = field(init=False)
    _upkeep: Upkeep = field(init=False)
    _stuck: Intake | None = None
    _untold: list[Outcome] = field(default_factory=list)  # how deliveries ended, not yet in the store
    _retry_at_s: float = float("-inf")
    _health_at_s: float = float("-inf")
    _stepped_at_s: float = float("-inf")
    _tidied_at_s: float = float("-inf")

    def __post_init__(self) -> None:
        self._reader = IntakeReader(self.settings.topics)
        self._poll = Poll(self.consumer, self.clock, self.settings.serve.batch_deltas)
        self._upkeep = Upkeep(self.store)

    def turn(self) -> None:
        """Read, apply, deliver, tidy up: once, each only if there is something to do.

        Raises:
            ConfigError: the file of receivers is broken when it is read for the first time.
        """
        # Before anything is applied: an alert that opens is written for the receivers that are known by then.
        receivers = self.endpoints.changed()
        if receivers is not None:
            self.stepper.endpoints = receivers
            self.delivery.use(receivers)
        if self.watch is not None:
            rules = self.watch.changed()
            if rules is not None:
                self.stepper.use(rules)
                self.state.rules = rules
        self.stepper.broken = self._broken()
        if self._stuck is None:
            intake = self._read()
        elif self.clock.monotonic() >= self._retry_at_s:
            intake, self._stuck = self._stuck, None
        else:
            self.stop.wait(0.1)
            return
        self._untold += self.delivery.collect()
        now_s = self.clock.monotonic()
        try:
            if not intake.empty or self._untold or now_s - self._stepped_at_s >= HEALTH_EVERY_S:
                hit("serve.assembled")
                self._stepped_at_s = now_s
                self.stepper.step(intake, self._untold, self.epoch)
                self._untold = []
        except StoreLockedError:
            raise  # another process is the writer by now: what this one knows of the store is old
        except StoreError as error:
            # Nothing was kept: the same intake again later. Reading stops meanwhile, so memory does not grow.
            self._stuck = intake
            self._fail("store_failed", error)
            return
        try:
            self._deliver()
            # In quiet moments; and where there are none, now and then all the same: what is not folded grows.
            if intake.empty or now_s - self._tidied_at_s >= self.settings.store.fold_every_s:
                self._tidied_at_s = now_s
                self._upkeep.turn(self.stepper.watermark, backlog=self._poll.backlog)
            self._observe(now_s)
        except StoreError as error:
            # What was read is in the store; an empty intake in its place tries whether it works again.
            self._stuck = Intake()
            self._fail("upkeep_failed", error)

    def finish(self) -> None:
        """Wait for what is on its way to receivers and keep how it ended: what was taken is not sent again."""
        self._untold += self.delivery.close(self.settings.webhook.timeout_s)
        if self._untold:
            try:
                self.stepper.step(Intake(), self._untold, self.epoch)
            except StoreError as error:
                _log.error("store_failed", error=str(error))

    def _fail(self, event: str, error: StoreError) -> None:
        _log.error(event, error=str(error))
        self._retry_at_s = self.clock.monotonic() + RETRY_AFTER_S
        self.state.fail(error.message)

    def _read(self) -> Intake:
        intake = self._reader.read(self._poll.records(round(self.settings.serve.apply_every_s * 1000)))
        self._poll.told(intake.deltas)
        for error in intake.corrupt:
            self.metrics.count("serve_corrupt_messages")
            _log.error("corrupt_message", topic=error.topic, partition=error.partition, offset=error.offset)
        return intake

    def _deliver(self) -> None:
        def of(endpoint: str, limit: int) -> list[DueMessage]:
            with self.store.reading() as connection:
                return due(connection, self.clock.now(), endpoint=endpoint, limit=limit)

        self.delivery.send(of)

    def _broken(self) -> dict[str, tuple[str, ...]]:
        problem = self.endpoints.problem
        self.metrics.set("endpoints_broken", problem is not None)
        receivers = {} if problem is None else {RECEIVERS: (problem,)}
        return {**(self.watch.broken if self.watch is not None else {}), **receivers}

    def _warnings(self) -> tuple[str, ...]:
        off = (f"rule {rule_id} is switched off: {reason}" for rule_id, reason in self.stepper.off.items())
        return (*(one for wrong in self.stepper.broken.values() for one in wrong), *off)

    def _observe(self, now_s: float) -> None:
        if now_s - self._health_at_s < HEALTH_EVERY_S:
            return
        self._health_at_s = now_s
        lag: dict[str, int] = {}
        for item in self.consumer.assignment():
            end = self.consumer.highwater(item)
            behind = 0 if end is None else max(0, end - self.consumer.position(item))
            lag[item.topic] = lag.get(item.topic, 0) + behind
        for topic, messages in lag.items():
            self.metrics.set("serve_lag_messages", messages, topic=topic)
        with self.store.reading() as connection:
            waiting, counts = pending(connection), count(connection)
        size_bytes = self.store.size_bytes()
        self.metrics.set("webhook_outbox_pending", waiting)
        self.metrics.set("store_bytes", size_bytes)
        self.metrics.set("rules_off", len(self.stepper.off))
        self.state.observe(
            Seen(
                watermark=self.stepper.watermark,
                stalled=self.stepper.stalled,
                unheard=self.stepper.unheard,
                lag=lag,
                behind_s=self.stepper.behind_s if any(lag.values()) else 0.0,
                looks_pending=self.stepper.looks_pending,
                outbox_pending=waiting,
                counts=counts,
                store_bytes=size_bytes,
                at_s=now_s,
                warnings=self._warnings(),
            )
        )


def _run_commands(
    commands: queue.SimpleQueue[tuple[Command, Future[Mapping[str, object]]]],
    store: Store,
    stepper: Stepper,
    epoch: str,
) -> None:
    while True:
        try:
            command, future = commands.get_nowait()
        except queue.Empty:
            return
        try:
            future.set_result(run_command(command, store, stepper, epoch))
        except StillwatchError as error:
            future.set_exception(error)


def _topics(settings: Settings) -> tuple[str, ...]:
    return (settings.topics.fingerprints, settings.topics.dead_letter, settings.topics.accounts)


def _consumer(settings: Settings) -> KafkaConsumer:
    return KafkaConsumer(
        **kafka_options(settings.kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )


def _assign(consumer: KafkaConsumer, settings: Settings) -> list[TopicPartition]:
    assigned = [
        TopicPartition(topic, number)
        for topic in _topics(settings)
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    consumer.assign(assigned)
    return assigned


def _begin_epoch(store: Store, epoch: str) -> None:
    """Offsets of a broker that is no more say nothing about this one: what was counted from it is final."""
    if stored_epochs(store.connection) - {epoch}:
        _log.warning("new_epoch", epoch=epoch)
        with store.transaction() as tx:
            new_epoch(tx)


def _seek(consumer: KafkaConsumer, store: Store, assigned: list[TopicPartition]) -> None:
    for item in assigned:
        offset = next_offsets(store.connection, item.topic).get(item.partition)
        if offset is None:
            consumer.seek_to_beginning(item)
        else:
            consumer.seek(item, offset)
