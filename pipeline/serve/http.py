"""HTTP of the serving process: health, metrics, analyst SQL, and the writes that go through the writer."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline import logs
from pipeline.alerts.said import AlertWord, SilenceWord, check_alert_word
from pipeline.config import Settings
from pipeline.errors import ConfigError, QueryError, StillwatchError, StoreError, UsageError
from pipeline.metrics import Metrics
from pipeline.serve.address import ServeAddress, remove_address, write_address
from pipeline.serve.answers import ARROW, answered
from pipeline.serve.clearing import Clearing, check_clearing
from pipeline.serve.corpora import RemoveCorpus
from pipeline.serve.corpus_body import decode
from pipeline.serve.releases import Release, check_release
from pipeline.serve.resend import Resend
from pipeline.serve.view import (
    Answer,
    Backup,
    BackupRequest,
    Command,
    ImportAccounts,
    RuleLook,
    ServeView,
    SqlRequest,
)

MAX_BODY_BYTES: Final = 33_554_432
MAX_SQL_BYTES: Final = 262_144
MAX_QUERIES: Final = 4
QUERY_NICE: Final = 15
TRANSFER_TIMEOUT_S: Final = 60.0  # for a body to come in, and for an answer to go out
IDLE_TIMEOUT_S: Final = 20.0  # for the next request of a connection to come
MAX_IDLE: Final = 128  # connections; the oldest go first
SWEEP_EVERY_S: Final = 1.0
COMMAND_TIMEOUT_S: Final = 600.0
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})

_log = logs.get("http")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Listens in a thread of its own while the context is open; ``url`` and ``token`` are known inside it.

    Nothing here touches the store: reads go to ``view.query`` in at most MAX_QUERIES threads (503 with Retry-After
    beyond), writes to ``view.submit``.
    """

    def __init__(self, settings: Settings, metrics: Metrics, view: ServeView) -> None:
        self.token = secrets.token_urlsafe(32)
        self.url = ""
        self._settings = settings
        self._metrics = metrics
        self._view = view
        self._pool = ThreadPoolExecutor(MAX_QUERIES, thread_name_prefix="query", initializer=_step_back)
        self._running = 0
        self._asking: set[RequestHandler] = set()  # connections with a request that is being answered
        self._idle_since: dict[RequestHandler, float] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        except OSError as error:
            self.close()
            raise ConfigError(
                f"serve.listen {self._settings.serve.listen}: {error.strerror or error}",
                next_step="name a free port of this machine; another serve may be running (stillwatch status)",
            ) from error
        write_address(self._settings.store.path, ServeAddress(self.url, os.getpid(), self.token))
        return self

    def __exit__(self, *exc_info: object) -> None:
        remove_address(self._settings.store.path, os.getpid())
        self.close()

    def close(self) -> None:
        """Stop listening; answers under way get a second. May be called twice."""
        if self._loop.is_closed():
            return
        if self._sweeper is not None:
            self._loop.call_soon_threadsafe(self._sweeper.cancel)
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _start(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/status", self._status)
        app.router.add_post("/v1/sql", self._sql)
        app.router.add_post("/v1/rules/look", self._look)
        app.router.add_post("/v1/accounts", self._accounts)
        app.router.add_post("/v1/clearances", self._clearances)
        app.router.add_post("/v1/corpora", self._add_corpus)
        app.router.add_delete("/v1/corpora/{name}", self._remove_corpus)
        app.router.add_post("/v1/releases", self._releases)
        app.router.add_post("/v1/resend", self._resend)
        app.router.add_post("/v1/alert-words", self._alert_words)
        app.router.add_post("/v1/silences", self._silences)
        app.router.add_post("/v1/backup", self._backup)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=IDLE_TIMEOUT_S, handler_cancellation=False
        )
        await self._runner.setup()
        host, _, port = self._settings.serve.listen.rpartition(":")
        await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        bound = self._runner.addresses[0]
        # 0.0.0.0 is where to listen, not where to go.
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound[0], bound[0])  # noqa: S104
        self._sweeper = asyncio.create_task(self._sweep())
        self.url = f"http://[{shown}]:{bound[1]}" if ":" in shown else f"http://{shown}:{bound[1]}"

    async def _sweep(self) -> None:
        """Close connections that send no request: aiohttp waits for the first one, and for its head, for ever."""
        while self._runner is not None and self._runner.server is not None:
            now_s = self._loop.time()
            open_now = self._runner.server.connections
            self._idle_since = {one: self._idle_since.get(one, now_s) for one in open_now}
            oldest = sorted((one for one in open_now if one not in self._asking), key=self._idle_since.__getitem__)
            for number, one in enumerate(oldest):
                too_many = number < len(oldest) - MAX_IDLE
                if (too_many or now_s - self._idle_since[one] > IDLE_TIMEOUT_S) and one.transport is not None:
                    one.transport.abort()
            await asyncio.sleep(SWEEP_EVERY_S)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may ask."""
        self._asking.add(request.protocol)
        try:
            return await self._admit(request, handler)
        finally:
            self._asking.discard(request.protocol)
            self._idle_since[request.protocol] = self._loop.time()  # who asks briefly is idle whenever one looks

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not host_allowed(request.host, self._settings.serve.listen):
            return _problem(403, "this Host header is not served", "ask by address or by the host in serve.listen")
        if request.path not in OPEN_PATHS:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            # As bytes: compare_digest takes no text beyond ASCII.
            if scheme.lower() != "bearer" or not secrets.compare_digest(token.encode(), self.token.encode()):
                return _problem(401, "a bearer token is needed", "it stands in <store>.serve.json beside the store")
        return await self._answer(request, handler)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer, or its error as JSON."""
        try:
            return await handler(request)
        except StillwatchError as error:
            return _problem(400 if isinstance(error, QueryError | UsageError) else 500, error.message, error.next_step)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _problem(400, f"the body is not what is wanted: {error}", "send the JSON that docs/sql.md shows")
        except web.HTTPException as error:
            return _problem(error.status, error.reason, "")
        except Exception as error:  # noqa: BLE001 - the edge: told to the log, the client gets no inner text
            _log.error("request_failed", path=request.path, error=repr(error))
            return _problem(500, "the request failed in the server", "its log says why")

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        health = self._view.health()
        body = {"ready": health.ready, "reasons": list(health.reasons), "warnings": list(health.warnings)}
        return web.json_response(body, status=200 if health.ready else 503)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._view.health())

    async def _sql(self, request: web.Request) -> web.StreamResponse:
        asked = msgspec.json.decode(await _body(request, MAX_SQL_BYTES), type=SqlRequest)
        limits = self._settings.store
        max_rows = max(1, min(asked.max_rows or limits.query_rows, limits.query_rows))
        timeout_s = self._time_allowed(asked.timeout_s)
        return await self._ask(
            request, lambda: self._view.query(asked.sql, asked.params, max_rows=max_rows, timeout_s=timeout_s)
        )

    async def _look(self, request: web.Request) -> web.StreamResponse:
        asked = msgspec.json.decode(await _body(request, MAX_SQL_BYTES), type=RuleLook)
        timeout_s = self._time_allowed(asked.timeout_s)
        return await self._ask(request, lambda: self._view.look(asked, timeout_s=timeout_s))

    def _time_allowed(self, asked_s: float | None) -> float:
        limit_s = self._settings.store.query_timeout_s
        return max(0.01, min(asked_s or limit_s, limit_s))

    async def _ask(self, request: web.Request, ask: Callable[[], Answer]) -> web.StreamResponse:
        if self._running >= MAX_QUERIES:
            self._metrics.count("serve_queries", outcome="busy")
            return _problem(
                503, f"{MAX_QUERIES} queries are running", "try again in a moment", headers={"Retry-After": "1"}
            )
        arrow = ARROW in request.headers.get("Accept", "")
        self._running += 1
        work = self._loop.run_in_executor(self._pool, answered, ask, arrow)
        try:
            body, truncated = await asyncio.shield(work)
        except StoreError as error:
            return _problem(503, error.message, "try again in a moment", headers={"Retry-After": "2"})
        else:
            response = web.Response(
                body=body,
                content_type=ARROW if arrow else "application/json",
                headers={"X-Stillwatch-Truncated": str(truncated).lower()},
            )
            await _send(request, response)
            return response
        finally:
            # When the thread is done, not when the client leaves: one that hangs up frees no thread. And when the
            # answer is out: slow readers would otherwise pile up answers.
            work.add_done_callback(self._query_done)

    def _query_done(self, work: asyncio.Future[tuple[bytes, bool]]) -> None:
        self._running -= 1
        failed = work.cancelled() or work.exception() is not None
        self._metrics.count("serve_queries", outcome="failed" if failed else "ok")

    async def _accounts(self, request: web.Request) -> web.Response:
        rows = msgspec.json.decode(await _body(request, MAX_BODY_BYTES), type=list[dict[str, Any]])
        return await self._submit(ImportAccounts(rows))

    async def _clearances(self, request: web.Request) -> web.Response:
        said = msgspec.json.decode(await _body(request, MAX_BODY_BYTES), type=Clearing)
        return await self._submit(check_clearing(said))

    async def _add_corpus(self, request: web.Request) -> web.Response:
        return await self._submit(decode(await _body(request, MAX_BODY_BYTES)))

    async def _remove_corpus(self, request: web.Request) -> web.Response:
        return await self._submit(RemoveCorpus(request.match_info["name"]))

    async def _releases(self, request: web.Request) -> web.Response:
        said = msgspec.json.decode(await _body(request, MAX_SQL_BYTES), type=Release)
        return await self._submit(check_release(said))

    async def _alert_words(self, request: web.Request) -> web.Response:
        said = msgspec.json.decode(await _body(request, MAX_BODY_BYTES), type=AlertWord)
        return await self._submit(check_alert_word(said))

    async def _silences(self, request: web.Request) -> web.Response:
        said = msgspec.json.decode(await _body(request, MAX_SQL_BYTES), type=SilenceWord)
        return await self._submit(said)  # the writer checks it, by its clock

    async def _resend(self, request: web.Request) -> web.Response:
        return await self._submit(msgspec.json.decode(await _body(request, MAX_BODY_BYTES), type=Resend))

    async def _backup(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await _body(request, MAX_SQL_BYTES), type=BackupRequest)
        target = Path(asked.target)
        if not target.is_absolute():
            raise UsageError(f"{target}: not an absolute path", next_step="the serving process writes the backup there")
        return await self._submit(Backup(target))

    async def _submit(self, command: Command) -> web.Response:
        try:
            done = await asyncio.wait_for(asyncio.wrap_future(self._view.submit(command)), COMMAND_TIMEOUT_S)
        except TimeoutError:
            return _problem(504, "the writer did not finish in time", "look at stillwatch status, then try again")
        return _json(done)


async def _body(request: web.Request, limit: int) -> bytes:
    """The body, whether or not its length was told; HTTP 413 and 408 where it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise web.HTTPRequestEntityTooLarge(limit, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


async def _send(request: web.Request, response: web.Response) -> None:
    """Send it whole; a client that does not take it in time is cut off."""
    try:
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        _log.warning("client_cut_off", path=request.path, seconds=TRANSFER_TIMEOUT_S)


def _step_back() -> None:
    """Let the writer go first: this thread takes what the machine's cores have left.

    With four endless queries on two cores, a turn of the writer took 11 s without this and 2 s with it.
    """
    if sys.platform == "linux":  # elsewhere priority is a process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), QUERY_NICE)


def host_allowed(host: str, listen: str) -> bool:
    """Whether a Host header may be served: a page under an attacker's domain that resolves to us may not (rebinding).

    Addresses, the configured host, and names without a dot (localhost, a container's name) cannot be such a domain.
    """
    name = host.rpartition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    if not name or name == listen.rpartition(":")[0] or "." not in name.rstrip("."):
        return bool(name) or ":" in host
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _problem(status: int, message: str, next_step: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message, "next_step": next_step}, status=status, headers=headers)
