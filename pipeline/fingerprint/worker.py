"""The worker process: a Faust app that reads event batches, and the loop that emits deltas; thinking is elsewhere."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from pipeline import logs
from pipeline.broker.options import bootstrap_servers, faust_broker
from pipeline.broker.topics import ensure_topics
from pipeline.clock import Clock, SystemClock
from pipeline.config import Settings
from pipeline.errors import StillwatchError
from pipeline.events.chain import chain_of
from pipeline.fingerprint.assignment import Assignment
from pipeline.fingerprint.publish import Publisher
from pipeline.fingerprint.transport import CommittedApp, CommittedThread
from pipeline.metrics import Metrics

_TICK_S = 0.1
_DRAIN_S = 10.0

log = logs.get("worker")


class WorkerFailedError(StillwatchError):
    """The worker met what it cannot go on from; nothing that it had taken in is lost, another reads it again."""

    exit_code = 70


def run_worker(
    settings: Settings,
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run until told to stop; then emit what is pending, commit, leave the group.

    Args:
        settings: all of them.
        clock: the machine's when omitted.
        metrics: where to count.
        stop: set it to stop; when omitted, SIGTERM and SIGINT do, and this must be the main thread.

    Raises:
        BrokerUnavailableError: no broker answers at the start. When it goes away later, this waits for it.
        WorkerFailedError: anything that is a mistake in the program or the set-up.
    """
    work = _run(settings, clock or SystemClock(), metrics or Metrics(), stop)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def make_app(settings: Settings) -> CommittedApp:
    """The Faust app: no tables, no web server, no producing of its own."""
    url, credentials = faust_broker(settings.kafka)
    session_s = settings.kafka.session_timeout_s
    return CommittedApp(
        settings.worker.group,
        broker=url,
        broker_credentials=credentials,
        broker_client_id=settings.kafka.client_id,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=min(1.0, session_s / 3),
        # Tansu holds a joining group for all of it; members rejoin within a heartbeat, so three seconds do everywhere.
        broker_rebalance_timeout=max(3.0, session_s / 2),
        broker_request_timeout=max(settings.kafka.request_timeout_s, session_s),
        consumer_auto_offset_reset="earliest",
        # Acknowledgement comes late: with the default a rebalance waits for it until the member is expelled.
        stream_wait_empty=False,
        stream_buffer_maxsize=32,  # messages, each as large as topics.max_message_bytes
        store="memory://",
        datadir=str(settings.worker.data_dir),
        web_enabled=False,
        worker_redirect_stdouts=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        autodiscover=False,
    )


class _Failure:
    """The first fatal error, from whichever task met it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.happened = asyncio.Event()

    def set(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self.happened.set()

    def watch(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.set(task.exception() or RuntimeError("unknown"))


async def _run(settings: Settings, clock: Clock, metrics: Metrics, stop: threading.Event | None) -> None:
    stopping = _stop_flag(stop)
    failure = _Failure()
    app = make_app(settings)
    _, credentials = faust_broker(settings.kafka)
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings.kafka),
        "client_id": settings.kafka.client_id,
        **credentials_to_aiokafka_auth(credentials, None),
    }
    publisher = Publisher(options, settings)
    await publisher.start()
    try:
        await asyncio.to_thread(ensure_topics, settings)
        assignment = Assignment(
            settings, reader_options=options, publisher=publisher, group=_AppGroup(app), clock=clock, metrics=metrics
        )
        _connect(app, settings.topics.events, assignment, failure)
        try:
            await _serve(app, settings, assignment, clock=clock, failure=failure, stopping=stopping)
        finally:
            assignment.close()
    finally:
        await publisher.stop()
    if failure.error is None:
        log.info("worker_stopped")
    elif isinstance(failure.error, StillwatchError):
        raise failure.error
    else:
        raise WorkerFailedError(
            f"the worker cannot go on: {type(failure.error).__name__}: {failure.error}",
            next_step="start it again: it goes on from its last commit; if it comes back, report it with the log",
        ) from failure.error


def _connect(app: CommittedApp, events: str, assignment: Assignment, failure: _Failure) -> None:
    """Wire what Faust calls: rebalances, and the agent that reads."""
    running: set[asyncio.Task[None]] = set()

    async def on_revoked(_app: Any, revoked: Any = (), **_: Any) -> None:
        assignment.revoke([partition.partition for partition in revoked if partition.topic == events])

    async def on_assigned(_app: Any, assigned: Any = (), **_: Any) -> None:
        ours = [TopicPartition(item.topic, item.partition) for item in assigned if item.topic == events]
        for number in assignment.assign(ours, app.consumer_generation_id):
            task = asyncio.create_task(assignment.run(number))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(failure.watch)

    async def panes(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            try:
                chain = chain_of(message.headers)
                await assignment.put(message.partition, message.offset, message.generation_id, message.value, chain)
            except Exception as error:  # noqa: BLE001 (Faust would go on behind a batch that was not counted)
                failure.set(error)
                await asyncio.Event().wait()

    app.on_partitions_revoked.connect(on_revoked, weak=False)
    app.on_partitions_assigned.connect(on_assigned, weak=False)
    topic = app.topic(events, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name="stillwatch.panes")(panes)
    app.finalize()


async def _serve(
    app: CommittedApp,
    settings: Settings,
    assignment: Assignment,
    *,
    clock: Clock,
    failure: _Failure,
    stopping: Callable[[], bool],
) -> None:
    """Run the app and the emissions until told to stop or a failure; then emit once more, commit and leave."""
    await app.start()
    log.info("worker_started", group=settings.worker.group, topic=settings.topics.events)
    ended = asyncio.Event()
    emitting = asyncio.create_task(_emit_regularly(assignment, settings.worker.emit_every_s, clock, ended))
    emitting.add_done_callback(failure.watch)
    try:
        await _until(stopping, failure, app)
    finally:
        assignment.draining = True
        ended.set()
        try:
            # The task ends with one last emission; at the limit, what is pending is left for whoever reads it again.
            await asyncio.wait_for(emitting, _DRAIN_S)
        except TimeoutError:
            log.warning("drain_timeout", seconds=_DRAIN_S)
        except Exception as error:  # noqa: BLE001 (kept for the end; the rest is to be closed first)
            failure.set(error)
        await app.stop()


class _AppGroup:
    """The app's consumer thread, which exists only once the app has started."""

    def __init__(self, app: CommittedApp) -> None:
        self._app = app

    @property
    def _thread(self) -> CommittedThread:
        thread: CommittedThread = self._app.consumer.thread
        return thread

    async def committed_position(self, partition: TopicPartition) -> tuple[int | None, int]:
        return await self._thread.committed_position(partition)

    async def commit_exactly(self, generation: int, offsets: Any, ours: Callable[[], bool]) -> bool:
        return await self._thread.commit_exactly(generation, offsets, ours)

    def behind(self, partition: TopicPartition) -> int | None:
        return self._thread.behind(partition)


def _stop_flag(stop: threading.Event | None) -> Callable[[], bool]:
    if stop is not None:
        return stop.is_set
    asked = threading.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    return asked.is_set


async def _emit_regularly(assignment: Assignment, every_s: float, clock: Clock, ended: asyncio.Event) -> None:
    due_s = clock.monotonic() + every_s
    while not ended.is_set():
        await asyncio.sleep(min(_TICK_S, every_s))
        if clock.monotonic() >= due_s or ended.is_set():
            await assignment.emit()
            due_s = clock.monotonic() + every_s


async def _until(stopping: Callable[[], bool], failure: _Failure, app: CommittedApp) -> None:
    while not stopping() and not failure.happened.is_set():
        if app.crashed or app.should_stop:
            failure.set(app.crash_reason or RuntimeError("the consumer stopped"))
            return
        await asyncio.sleep(_TICK_S)
