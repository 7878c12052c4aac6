"""Delivery beside the writer: a thread an endpoint, so that one that hangs delays no other. None touches the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline import logs
from pipeline.clock import Clock
from pipeline.config import KafkaSettings
from pipeline.delivery.destination import DestinationError, Reach
from pipeline.delivery.endpoints import TOPIC, Endpoint, Endpoints
from pipeline.delivery.outbox import DueMessage, Outcome
from pipeline.delivery.sender import Sender
from pipeline.delivery.topic import TopicSender
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics

_STOP: Final = object()

_log = logs.get("delivery")


@dataclass(slots=True)
class _Lane:
    """One endpoint's thread. One batch at a time is on its way: no message is sent twice for want of its outcome."""

    sender: Sender | TopicSender
    done: queue.SimpleQueue[tuple[str, list[Outcome]]]
    busy: bool = False
    _work: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"webhooks-{self.sender.name}", daemon=True)
        self._thread.start()

    def offer(self, messages: Sequence[DueMessage]) -> None:
        self.busy = True
        self._work.put(list(messages))

    def stop(self) -> None:
        """End after what is on its way; does not wait."""
        self._work.put(_STOP)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with self.sender:
            while True:
                work = self._work.get()
                if not isinstance(work, list):
                    return
                self.done.put((self.sender.name, self.sender.send(work)))


@dataclass(slots=True)
class Delivery:
    """All endpoints. The writer's thread only; nothing blocks but ``close``."""

    reach: Reach
    kafka: KafkaSettings
    clock: Clock
    metrics: Metrics
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _done: queue.SimpleQueue[tuple[str, list[Outcome]]] = field(default_factory=queue.SimpleQueue)
    _using: Mapping[str, Endpoint] = field(default_factory=dict)

    def use(self, endpoints: Endpoints) -> None:
        """Send to these from now on. What is on its way to one that is gone or changed ends first."""
        ending: dict[str, bool] = {}
        for name, lane in list(self._lanes.items()):
            if endpoints.by_name.get(name) != self._using.get(name):
                lane.stop()
                ending[name] = self._lanes.pop(name).busy
        for name, endpoint in endpoints.by_name.items():
            if name not in self._lanes:
                try:
                    sender = self._sender(name, endpoint)
                except (DestinationError, ConfigError) as error:
                    _log.error("endpoint_refused", endpoint=name, error=error.message)
                    continue
                # What is on its way is still due until its outcome is in the store.
                self._lanes[name] = _Lane(sender, self._done, busy=ending.get(name, False))
        self._using = dict(endpoints.by_name)

    def _sender(self, name: str, endpoint: Endpoint) -> Sender | TopicSender:
        if endpoint.format == "topic":
            return TopicSender(name, name.removeprefix(TOPIC), self.kafka, self.clock, self.metrics)
        return Sender(name, endpoint, self.reach, self.clock, self.metrics)

    def send(self, due: Callable[[str, int], Sequence[DueMessage]]) -> None:
        """Hand each idle endpoint what is due for it: ``due(name, at most)``."""
        for name, lane in self._lanes.items():
            room = 0 if lane.busy else lane.sender.room()
            if room and (messages := due(name, room)):
                lane.offer(messages)

    def collect(self) -> list[Outcome]:
        """How tries ended since the last time."""
        found: list[Outcome] = []
        while True:
            try:
                name, outcomes = self._done.get_nowait()
            except queue.Empty:
                return found
            if name in self._lanes:
                self._lanes[name].busy = False
            found += outcomes

    def close(self, timeout_s: float) -> list[Outcome]:
        """End all threads after the message that is on its way; return what is known by then."""
        for lane in self._lanes.values():
            lane.stop()
        deadline = self.clock.monotonic() + timeout_s
        for lane in self._lanes.values():
            lane.join(max(0.0, deadline - self.clock.monotonic()))
        return self.collect()
