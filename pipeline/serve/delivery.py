"""The thread that delivers: takes due messages from the writer, hands outcomes back; never touches the store itself."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.alerts.delivery import Deliverer, DueMessage, Outcome

_STOP: Final = object()


@dataclass(slots=True)
class DeliveryThread:
    """One batch at a time is on its way, so that no message is sent twice for want of its outcome.

    ``offer`` and ``collect`` are the writer's; neither blocks.
    """

    deliverer: Deliverer
    _work: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    _done: queue.SimpleQueue[list[Outcome]] = field(default_factory=queue.SimpleQueue)
    _busy: bool = False
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Nothing is on its way: the outcome of all that was offered is collected."""
        return not self._busy

    def offer(self, messages: Sequence[DueMessage]) -> None:
        """Send these, in order. Only when ``idle``."""
        assert not self._busy
        if messages:
            self._busy = True
            self._work.put(list(messages))

    def collect(self) -> list[Outcome]:
        """Outcomes of what was offered, once all of it was tried."""
        try:
            outcomes = self._done.get_nowait()
        except queue.Empty:
            return []
        self._busy = False
        return outcomes

    def close(self, timeout_s: float) -> list[Outcome]:
        """End the thread after the message that is on its way; return what is known by then."""
        self._work.put(_STOP)
        self._thread.join(timeout_s)
        self.deliverer.close()
        return self.collect()

    def _run(self) -> None:
        while True:
            work = self._work.get()
            if not isinstance(work, list):
                return
            self._done.put(self.deliverer.deliver(work))
