"""A small local receiver of webhooks that verifies and records: for the demo, for developing against, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from pydantic import SecretStr

from pipeline.delivery.signing import SignatureError, verify

MAX_BODY_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. ``payload`` is the parsed body where the signature holds; ``error`` says why not."""

    message_id: str
    headers: Mapping[str, str]
    body: bytes
    verified: bool
    duplicate: bool  # this id was accepted before
    payload: Any = None
    error: str | None = None


@dataclass(slots=True)
class Receiver:
    """Listens on 127.0.0.1 while the context is open; ``port`` 0 picks a free one.

    Answers 204 to what is genuine (also the second time: the sender must stop), 401 to what is not, 413 to a body over
    MAX_BODY_BYTES. Thread-safe; ``on_message`` is called in the thread of the request.
    """

    secret: SecretStr
    port: int = 0
    on_message: Callable[[Received], None] | None = None
    _messages: list[Received] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                length = self.headers.get("content-length", "")
                if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                    self.close_connection = True
                    self._answer(413)
                    return
                body = self.rfile.read(int(length))
                self._answer(204 if receiver.take(dict(self.headers.items()), body).verified else 401)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: what came is in ``messages``."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Where to send; plain http on the loopback."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def messages(self) -> list[Received]:
        """Everything that came so far, in order."""
        with self._changed:
            return list(self._messages)

    def take(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Verify and record one message."""
        lowered = {name.lower(): value for name, value in headers.items()}
        message_id = lowered.get("webhook-id", "")
        payload, problem = None, None
        try:
            payload = verify(self.secret, lowered, body)
        except SignatureError as error:
            problem = error.message
        with self._changed:
            received = Received(message_id, lowered, body, problem is None, message_id in self._ids, payload, problem)
            if received.verified:
                self._ids.add(message_id)
            self._messages.append(received)
            self._changed.notify_all()
        if self.on_message is not None:
            self.on_message(received)
        return received

    def wait_for(self, count: int, timeout_s: float) -> list[Received]:
        """Block until ``count`` messages came, or the time is up; return what came."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._messages) >= count, timeout_s)
            return list(self._messages)
