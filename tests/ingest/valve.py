"""Keeps answers of a broker back from one client, so that a test decides what they come before and after."""

from __future__ import annotations

from typing import Any

from kafka.future import Future


class Valve:
    """Between a kafka-python client and its connections. Shut, it keeps back the answers to requests of one kind.

    Args:
        client: a consumer; what it sends from now on passes here.
        kind: the class of the requests whose answers may be kept back.
    """

    def __init__(self, client: Any, kind: type) -> None:
        self._net = client._net
        self._kind = kind
        self._send = client._manager.send
        self._shut = False
        self._kept: list[tuple[Future, Future]] = []
        client._manager.send = self._pass

    @property
    def kept(self) -> int:
        """Answers that have come and are kept back."""
        return sum(answer.is_done for answer, _ in self._kept)

    def shut(self) -> None:
        """Keep back what is asked for from now on."""
        self._shut = True

    def open(self) -> None:
        """Let through what was kept back, and all that comes."""
        self._shut = False
        kept, self._kept = self._kept, []
        for answer, shown in kept:
            self._net.call_soon_threadsafe(lambda answer=answer, shown=shown: answer.chain(shown))

    def _pass(self, request: Any, *where: Any, **options: Any) -> Future:
        answer = self._send(request, *where, **options)
        if not (self._shut and isinstance(request, self._kind)):
            return answer
        shown = Future()
        self._kept.append((answer, shown))
        return shown
