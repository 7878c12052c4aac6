"""One try of one message: connect to an address that was checked, send, read a little of the answer, within its time.

`httpcore` under `httpx` is used directly, since it lets us make the connection ourselves: to the address that was
checked, while Host and the name in the TLS handshake stay the receiver's. Redirects are not followed and proxies of
the environment are not used: there is no code for either here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpcore

from pipeline.clock import Clock
from pipeline.delivery.destination import Destination, Reach, Resolve, permitted
from pipeline.errors import StillwatchError

MAX_ANSWER_BYTES: Final = 65_536  # of an answer's body are read, so that the connection can serve the next message
KEPT_BYTES: Final = 1024  # of it are kept for support
IDLE_S: Final = 5.0  # a connection is used again within


class NoAnswerError(StillwatchError):
    """The receiver was not reached, or did not answer in time. Another try may."""

    exit_code = 69


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers in lower case (the last of each), the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    beginning: str


def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver gives."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(slots=True)
class _Limit:
    """When the try that is under way ends (monotonic): one limit over all its reads and writes."""

    monotonic: Callable[[], float]
    until_s: float = 0.0

    def left(self) -> float:
        left_s = self.until_s - self.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the time of this try is over")
        return left_s


@dataclass(slots=True)
class _LimitedStream(httpcore.NetworkStream):
    """Who answers byte by byte gets no longer than who answers at once."""

    inner: httpcore.NetworkStream
    limit: _Limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self.inner.read(max_bytes, self.limit.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self.inner.write(buffer, self.limit.left())

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        del timeout
        return _LimitedStream(self.inner.start_tls(ssl_context, server_hostname, self.limit.left()), self.limit)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


@dataclass(slots=True)
class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were checked a moment ago, one after the other until one answers."""

    destination: Destination
    reach: Reach
    resolve: Resolve
    limit: _Limit
    inner: httpcore.NetworkBackend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        del host, port, timeout
        failed: Exception | None = None
        addresses = permitted(self.destination, self.reach, self.resolve)
        for number, address in enumerate(addresses):
            # An address that swallows everything leaves half of the time to the next.
            left_s = self.limit.left() / (2 if number + 1 < len(addresses) else 1)
            try:
                stream = self.inner.connect_tcp(
                    address, self.destination.port, left_s, local_address, socket_options or ()
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _LimitedStream(stream, self.limit)
        raise failed or httpcore.ConnectError("no address")


@dataclass(slots=True)
class Poster:
    """Posts to one receiver, a message at a time, over one connection while that lasts.

    Not for several threads. ``resolve``, ``backend`` and ``tls`` are what a test replaces.
    """

    destination: Destination
    reach: Reach
    timeout_s: float
    clock: Clock
    resolve: Resolve = system_addresses
    backend: httpcore.NetworkBackend = field(default_factory=httpcore.SyncBackend)
    tls: ssl.SSLContext | None = None
    _limit: _Limit = field(init=False)
    _pool: httpcore.ConnectionPool = field(init=False)

    def __post_init__(self) -> None:
        self._limit = _Limit(self.clock.monotonic)
        self._pool = httpcore.ConnectionPool(
            ssl_context=self.tls or ssl.create_default_context(),
            max_connections=1,
            keepalive_expiry=IDLE_S,
            network_backend=_CheckedBackend(self.destination, self.reach, self.resolve, self._limit, self.backend),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one message; blocks for ``timeout_s`` at most, and the name server's time.

        Raises:
            DestinationError: the name leads where nothing is connected to.
            NoAnswerError: no connection, no valid certificate, no answer in time, or one that is no HTTP.
        """
        self._limit.until_s = self.clock.monotonic() + self.timeout_s
        where = self.destination
        url = httpcore.URL(
            scheme=where.scheme.encode(), host=where.host.encode(), port=where.port, target=where.target.encode()
        )
        sent = {**headers, "host": where.shown.partition("//")[2], "accept-encoding": "identity"}
        try:
            with self._pool.stream("POST", url, headers=list(sent.items()), content=body) as response:
                found = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers}
                return Answer(response.status, found, self._beginning(response))
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NoAnswerError(_told(error), next_step="it is tried again") from None

    def _beginning(self, response: httpcore.Response) -> str:
        """The status is the answer, whatever becomes of the body."""
        kept, size = b"", 0
        try:
            for chunk in response.iter_stream():
                kept = (kept + chunk)[:KEPT_BYTES]
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    break
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            pass
        return kept.decode("utf-8", "replace")


def _told(error: Exception) -> str:
    """For a person, without an address: what the library says may hold one."""
    reason = error.__cause__ or error.__context__ or error
    while reason.__cause__ is not None:
        reason = reason.__cause__
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {reason.verify_message}"
    if isinstance(reason, ssl.SSLError):
        return "no TLS there"
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpcore.ConnectError):
        return "no connection"
    return "no HTTP there" if isinstance(error, httpcore.ProtocolError) else "the connection broke"
