"""One try: to the address that was checked, with the receiver's name, within its time."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpcore
import pytest
import trustme

from pipeline.clock import SystemClock
from pipeline.delivery.destination import DestinationError, Reach, check_url
from pipeline.delivery.post import Answer, NoAnswerError, Poster
from tests.delivery.servers import hang, raw_server, status

HERE = "127.0.0.1"
REACH = Reach.of([HERE, "hooks.example"], http=True)
HEADERS = {"content-type": "application/json"}


def _resolver(*answers: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    left = list(answers)

    def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def _post(url: str, *, reach: Reach = REACH, timeout_s: float = 5.0, **more: object) -> Answer:
    with Poster(check_url(url, reach), reach, timeout_s, SystemClock(), **more) as poster:  # type: ignore[arg-type]
        return poster.post(HEADERS, b"{}")


def test_an_answer_has_status_headers_and_its_beginning() -> None:
    with raw_server(status(503, "Retry-After: 7", body=b"later " * 1000)) as (url, requests):
        answer = _post(url)
    assert (answer.status, answer.headers["retry-after"], answer.beginning) == (503, "7", ("later " * 1000)[:1024])
    head = requests[0].decode().lower()
    assert "host: 127.0.0.1:" in head
    assert "accept-encoding: identity" in head
    assert head.endswith("{}")


def test_host_is_the_receivers_name_and_the_address_the_checked_one() -> None:
    with raw_server(status(204)) as (url, requests):
        port = url.rstrip("/").rpartition(":")[2]
        _post(f"http://hooks.example:{port}/a?b", resolve=_resolver([HERE]))
    lines = requests[0].decode().lower().split("\r\n")
    assert lines[0] == "post /a?b http/1.1"
    assert f"host: hooks.example:{port}" in lines


def test_a_redirect_is_an_answer_and_nothing_else() -> None:
    with raw_server(status(302, "Location: http://169.254.169.254/latest/meta-data/")) as (url, requests):
        assert _post(url).status == 302
    assert len(requests) == 1


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(status(500)) as (proxy, asked), raw_server(status(204)) as (url, _):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        assert _post(url).status == 204
    assert asked == []


def test_a_name_that_changes_is_refused_at_the_next_try() -> None:
    with raw_server(status(204)) as (url, requests):
        port = url.rstrip("/").rpartition(":")[2]
        where = check_url(f"http://hooks.example:{port}/", REACH)
        resolve = _resolver([HERE], ["169.254.169.254"])
        with Poster(where, REACH, 5.0, SystemClock(), resolve=resolve) as poster:
            assert poster.post(HEADERS, b"{}").status == 204
            with pytest.raises(DestinationError, match="this machine's link") as caught:
                poster.post(HEADERS, b"{}")
    assert caught.value.passing
    assert len(requests) == 1


@dataclass
class _Recorder(httpcore.NetworkBackend):
    """Connects nowhere."""

    tried: list[str] = field(default_factory=list)

    def connect_tcp(self, host: str, *args: object, **more: object) -> httpcore.NetworkStream:
        del args, more
        self.tried.append(host)
        raise httpcore.ConnectError(host)


def test_nothing_is_connected_to_before_all_addresses_are_checked() -> None:
    recorder = _Recorder()
    with pytest.raises(DestinationError, match="inside"):
        _post("https://a.example/", resolve=_resolver(["1.1.1.1", "10.0.0.1"]), backend=recorder)
    assert recorder.tried == []
    with pytest.raises(NoAnswerError, match="no connection"):
        _post("https://a.example/", resolve=_resolver(["1.1.1.1", "1.0.0.1"]), backend=recorder)
    assert recorder.tried == ["1.1.1.1", "1.0.0.1"]


def test_the_second_address_is_tried_when_the_first_refuses() -> None:
    with raw_server(status(204)) as (url, requests):
        port = url.rstrip("/").rpartition(":")[2]
        reach = Reach.of(["127.0.0.0/8", "hooks.example"], http=True)
        where = f"http://hooks.example:{port}/"
        assert _post(where, reach=reach, resolve=_resolver(["127.0.0.9", HERE])).status == 204
    assert len(requests) == 1


def _drop(connection: socket.socket, stop: threading.Event) -> None:
    del stop
    connection.close()


def _nonsense(connection: socket.socket, stop: threading.Event) -> None:
    del stop
    connection.sendall(b"220 mail.example ESMTP\r\n")


def _byte_by_byte(connection: socket.socket, stop: threading.Event) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100_000:
        if stop.wait(0.01):
            return
        connection.sendall(bytes([byte]))


def _body_without_end(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000000\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"a" * 65536)


def _body_slowly(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000000\r\n\r\n")
    while not stop.wait(0.01):
        connection.sendall(b"a")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(hang, "no answer in time"), (_byte_by_byte, "no answer in time"), (_drop, "broke|HTTP"), (_nonsense, "no HTTP")],
)
def test_who_does_not_answer_takes_no_longer_than_his_time(answer: Callable[..., None], said: str) -> None:
    with (
        raw_server(answer) as (url, _),
        Poster(check_url(url, REACH), REACH, 0.3, SystemClock()) as poster,
        pytest.raises(NoAnswerError, match=said) as caught,
    ):
        poster.post(HEADERS, b"{}")
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("answer", [_body_without_end, _body_slowly])
def test_a_body_is_read_as_far_as_time_and_size_allow(answer: Callable[..., None]) -> None:
    with raw_server(answer) as (url, _), Poster(check_url(url, REACH), REACH, 0.5, SystemClock()) as poster:
        assert poster.post(HEADERS, b"{}").status == 200


def test_nobody_listens() -> None:
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NoAnswerError, match="no connection"):
        _post(f"http://{HERE}:{port}/")


@contextmanager
def _tls_server(certificate: trustme.LeafCert) -> Iterator[tuple[int, list[str | None]]]:
    """Answers 204 to each connection and notes the name of its handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    listener = socket.create_server((HERE, 0))
    listener.settimeout(0.05)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True) as secure:
                    received = b""
                    while not received.endswith(b"{}"):
                        received += secure.recv(65536)
                    secure.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            except (TimeoutError, OSError):
                continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], names
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_the_handshake_has_the_receivers_name(authority: trustme.CA) -> None:
    with _tls_server(authority.issue_cert("hooks.example")) as (port, names):
        url = f"https://hooks.example:{port}/"
        assert _post(url, resolve=_resolver([HERE]), tls=_trusting(authority)).status == 204
    assert names == ["hooks.example"]


@pytest.mark.parametrize(("name", "trusted"), [("other.example", True), ("hooks.example", False)])
def test_a_certificate_that_is_not_the_receivers(authority: trustme.CA, name: str, trusted: bool) -> None:
    tls = _trusting(authority) if trusted else None
    with (
        _tls_server(authority.issue_cert(name)) as (port, _),
        pytest.raises(NoAnswerError, match="its certificate is not valid"),
    ):
        _post(f"https://hooks.example:{port}/", resolve=_resolver([HERE]), tls=tls)
