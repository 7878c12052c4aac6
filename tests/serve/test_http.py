"""HTTP over a real server and a real DuckDB: who may ask, what is answered, what happens when it is full or gone."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from pipeline.config import ServeSettings, Settings, StoreSettings
from pipeline.errors import QueryError, StoreError
from pipeline.metrics import Metrics
from pipeline.serve import http
from pipeline.serve.address import ServeAddress, address_file, write_address
from pipeline.serve.client import ServeClient
from pipeline.serve.http import MAX_QUERIES, MAX_SQL_BYTES, HttpServer, host_allowed
from pipeline.serve.view import Answer, Backup, Command, Health, RuleLook

WATERMARK = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class View:
    """A real DuckDB in memory; writes are recorded, and fail for a target named ``full``."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")
        self.commands: list[Command] = []
        self.gate = threading.Event()
        self.gate.set()
        self.ready = True

    def query(self, sql: str, params: Mapping[str, object], *, max_rows: int, timeout_s: float) -> Answer:
        del timeout_s
        self.gate.wait(20)
        try:
            found = self.connection.cursor().execute(sql, dict(params)).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0], next_step="mend the query") from error
        return Answer(found.slice(0, max_rows), found.num_rows > max_rows)

    def look(self, asked: RuleLook, *, timeout_s: float) -> Answer:
        return self.query("select $rule as rule_id", {"rule": asked.rule_id}, max_rows=1, timeout_s=timeout_s)

    def health(self) -> Health:
        reasons = () if self.ready else ("the broker is away",)
        return Health(self.ready, reasons, WATERMARK, {"events": 3}, (1,), 4096, 10, 1, 0, 2, 0)

    def submit(self, command: Command) -> Future[Mapping[str, object]]:
        self.commands.append(command)
        done: Future[Mapping[str, object]] = Future()
        if isinstance(command, Backup) and command.target.name == "full":
            done.set_exception(StoreError("the disk is full", next_step="make room"))
        else:
            done.set_result({"done": len(self.commands)})
        return done


@pytest.fixture
def view() -> View:
    return View()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=tmp_path / "s.duckdb", query_rows=100)
    )


@pytest.fixture
def server(settings: Settings, view: View) -> Iterator[HttpServer]:
    with HttpServer(settings, Metrics(), view) as running:
        yield running


@pytest.fixture
def client(server: HttpServer, settings: Settings) -> Iterator[ServeClient]:
    del server
    found = ServeClient.find(settings.store.path)
    assert found is not None
    with found:
        yield found


def post(server: HttpServer, path: str, body: Any, **headers: str) -> httpx.Response:
    auth = {"Authorization": f"Bearer {server.token}"}
    return httpx.post(server.url + path, json=body, headers=auth | headers, trust_env=False, timeout=20)


def get(server: HttpServer, path: str, **headers: str | bytes) -> httpx.Response:
    encoded = [
        (name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()
    ]
    return httpx.get(server.url + path, headers=encoded, trust_env=False)


def test_health_and_metrics_are_open_the_rest_is_not(server: HttpServer, view: View) -> None:
    assert get(server, "/healthz").json() == {"alive": True}
    assert get(server, "/readyz").status_code == 200
    assert "stillwatch_serve_holes_total" in get(server, "/metrics").text
    for path in ("/v1/status", "/v1/sql"):
        assert get(server, path).status_code == 401
        assert get(server, path, Authorization="Bearer wröng".encode()).status_code == 401
    view.ready = False
    told = get(server, "/readyz")
    assert (told.status_code, told.json()["reasons"]) == (503, ["the broker is away"])


def test_a_query_is_answered_as_json(server: HttpServer) -> None:
    told = post(
        server, "/v1/sql", {"sql": "select $n::int as n, timestamptz '2026-01-05 12:00:00+00' as t", "params": {"n": 3}}
    )
    assert told.status_code == 200, told.text
    assert told.json()["rows"] == [{"n": 3, "t": "2026-01-05T12:00:00Z"}]
    assert told.json()["truncated"] is False


def test_the_row_limit_cannot_be_raised(client: ServeClient) -> None:
    answer = client.query("select * from range(1000)", max_rows=5000, timeout_s=5)
    assert (answer.table.num_rows, answer.truncated) == (100, True)


def test_a_bad_query_and_a_bad_body_say_what_to_do(server: HttpServer, client: ServeClient) -> None:
    told = post(server, "/v1/sql", {"sql": "select nothing"})
    assert (told.status_code, told.json()["next_step"]) == (400, "mend the query")
    assert post(server, "/v1/sql", {"sq": "select 1"}).status_code == 400
    assert post(server, "/v1/sql", {"sql": "select " + "1+" * 200_000 + "1"}).status_code == 413
    assert post(server, "/v1/nothing", {}).status_code == 404
    with pytest.raises(QueryError, match="mend the query"):
        client.query("select nothing", max_rows=1, timeout_s=5)


def test_a_foreign_host_is_refused(server: HttpServer) -> None:
    assert get(server, "/healthz", Host="attacker.example").status_code == 403
    assert get(server, "/healthz", Host="localhost:1").status_code == 200


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8765", True),
        ("[::1]:8765", True),
        ("serve:8765", True),
        ("watch.example", True),
        ("evil.example", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert host_allowed(host, "watch.example:8765") is allowed


def test_full_is_503_with_retry_after(server: HttpServer, view: View) -> None:
    view.gate.clear()
    threads = [threading.Thread(target=post, args=(server, "/v1/sql", {"sql": "select 1"})) for _ in range(MAX_QUERIES)]
    for thread in threads:
        thread.start()
    busy = None
    for _ in range(500):
        if server._running == MAX_QUERIES:
            busy = post(server, "/v1/sql", {"sql": "select 1"})
            break
        threading.Event().wait(0.01)  # the server's own threads have to come up
    view.gate.set()
    for thread in threads:
        thread.join()
    assert busy is not None
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    assert post(server, "/v1/sql", {"sql": "select 1"}).status_code == 200


def test_a_body_beyond_the_limit_is_refused_though_its_length_is_not_told(server: HttpServer) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (MAX_SQL_BYTES // 20)

    auth = {"Authorization": f"Bearer {server.token}"}
    answer = httpx.post(server.url + "/v1/sql", content=pieces(), headers=auth, trust_env=False, timeout=20)
    assert answer.status_code == 413


def test_connections_that_ask_nothing_are_closed(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(http, "SWEEP_EVERY_S", 0.1)
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as silent, socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")  # and never the rest
        for one in (silent, slow):
            one.settimeout(10)
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
    assert get(server, "/healthz").status_code == 200


def test_a_connection_that_asks_briefly_and_often_is_kept(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whenever one looks it is idle, and it never is for long.
    monkeypatch.setattr(http, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(http, "IDLE_TIMEOUT_S", 0.5)
    time.sleep(1.1)  # the sweep under way still sleeps as long as before
    asking = HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    for _ in range(15):
        asking.request("GET", "/healthz")  # raises where the connection was closed
        with asking.getresponse() as answer:
            assert answer.status == 200
            answer.read()
        time.sleep(0.1)
    asking.close()


def test_of_too_many_silent_connections_the_oldest_are_closed(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_IDLE", 4)
    host, _, port = server.url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(8)]
        for one in silent[:4]:
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
        assert get(server, "/healthz").status_code == 200


def test_a_reader_who_does_not_take_the_answer_keeps_its_place_and_is_cut_off(
    server: HttpServer, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    del view
    monkeypatch.setattr(http, "TRANSFER_TIMEOUT_S", 1.0)
    host, _, port = server.url.removeprefix("http://").partition(":")
    body = json.dumps({"sql": "select repeat('x', 60000000) as big"}).encode()
    head = f"POST /v1/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\nContent-Length: {len(body)}"
    with socket.create_connection((host, int(port)), 10) as lazy:
        lazy.sendall(head.encode() + b"\r\n\r\n" + body)
        held = False
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (held and server._running == 0):
            held = held or server._running == 1
            threading.Event().wait(0.01)  # the server's own thread works and then gives up
        assert held
        assert server._running == 0
        with suppress(ConnectionResetError):
            while lazy.recv(1 << 20):
                pass


def test_writes_go_to_the_writer(client: ServeClient, view: View, tmp_path: Path) -> None:
    assert client.import_accounts([{"account_id": "a"}]) == {"done": 1}
    assert client.backup(tmp_path / "copy") == {"done": 2}
    with pytest.raises(StoreError, match="disk is full"):
        client.backup(tmp_path / "full")
    assert len(view.commands) == 3


def test_health_travels(client: ServeClient, view: View) -> None:
    assert client.health().watermark == WATERMARK
    assert client.health().lag_messages == view.health().lag_messages


def test_the_address_is_private_and_goes_away(settings: Settings, view: View) -> None:
    file = address_file(settings.store.path)
    with HttpServer(settings, Metrics(), view):
        assert file.stat().st_mode & 0o777 == 0o600
    assert not file.exists()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 7], ids=["number taken by another", "gone"])
def test_a_stale_address_is_noticed(settings: Settings, pid: int) -> None:
    write_address(settings.store.path, ServeAddress("http://127.0.0.1:9", pid, "x"))
    assert ServeClient.find(settings.store.path) is None
