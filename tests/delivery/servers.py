"""Receivers that misbehave, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def raw_server(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Accept connections, read each request whole, then let ``answer`` do what it wants with the socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    stop = threading.Event()
    requests: list[bytes] = []

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                try:
                    requests.append(_read(connection))
                    answer(connection, stop)
                except OSError:
                    # The sender hung up first: that is what some of these tests are about.
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", requests
    finally:
        stop.set()
        thread.join()
        listener.close()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def status(code: int, *headers: str, body: bytes = b"") -> Callable[[socket.socket, threading.Event], None]:
    """Answer with a status and close."""
    lines = [f"HTTP/1.1 {code} Whatever", f"content-length: {len(body)}", "connection: close", *headers]

    def answer(connection: socket.socket, stop: threading.Event) -> None:
        del stop
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


def in_turn(
    *answers: Callable[[socket.socket, threading.Event], None],
) -> Callable[[socket.socket, threading.Event], None]:
    """A different answer to each request; the last one for all that follow."""
    left = list(answers)

    def answer(connection: socket.socket, stop: threading.Event) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection, stop)

    return answer


def hang(connection: socket.socket, stop: threading.Event) -> None:
    """Say nothing at all."""
    del connection
    stop.wait(10)


def endless(connection: socket.socket, stop: threading.Event) -> None:
    """200, then a body without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 65536)
