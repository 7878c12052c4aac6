"""Asks a running serve over HTTP; finds it by the file beside the store and notices a stale one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
import msgspec
import pyarrow as pa

from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.config import Place
from pipeline.errors import QueryError, StoreError, UsageError
from pipeline.serve.address import ServeAddress, process_lives, read_address
from pipeline.serve.clearing import Clearing
from pipeline.serve.corpora import AddCorpus, CorpusChange
from pipeline.serve.releases import Release
from pipeline.serve.resend import Resend
from pipeline.serve.view import Answer, Health, RuleLook

if TYPE_CHECKING:
    from pipeline.rules.model import Rule

ARROW: Final = "application/vnd.apache.arrow.stream"


@dataclass(slots=True)
class ServeClient:
    """One serving process. Close it, or use it as a context."""

    address: ServeAddress
    _http: httpx.Client

    @classmethod
    def find(cls, store: Place) -> Self | None:
        """The process that serves ``store``; None when there is none (also when its file is left over)."""
        address = read_address(store)
        if address is None or not process_lives(address.pid):
            return None
        # trust_env off: a proxy in the environment is not for the machine's own loopback.
        http = httpx.Client(
            base_url=address.url, timeout=10, trust_env=False, headers={"Authorization": f"Bearer {address.token}"}
        )
        client = cls(address, http)
        try:
            # The process number may be another's by now: only one that knows this token is it.
            if http.get("/v1/status").status_code != 401:
                return client
        except httpx.ConnectError:
            pass  # a left-over file whose number another process has
        except httpx.HTTPError as error:
            http.close()
            raise StoreError(
                f"serve (process {address.pid}) does not answer at {address.url}: {error}",
                next_step="look at its log; it may be starting or stuck",
            ) from error
        http.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answer:
        """One analyst query. Raises QueryError with what serve says."""
        body = {"sql": sql, "params": params or {}, "max_rows": max_rows, "timeout_s": timeout_s}
        response = self._send("/v1/sql", body, timeout_s=timeout_s + 10, accept=ARROW)
        table = pa.ipc.open_stream(response.content).read_all()
        return Answer(table, response.headers.get("X-Stillwatch-Truncated") == "true")

    def look(self, rule: Rule, since: datetime, until: datetime, *, explain: bool = False, timeout_s: float) -> Answer:
        """One look of a rule that serve runs too, with these parameters. Raises QueryError with what serve says."""
        body = RuleLook(rule.rule_id, rule.text, rule.parameters, since, until, explain, timeout_s)
        response = self._send("/v1/rules/look", body, timeout_s=timeout_s + 10, accept=ARROW)
        table = pa.ipc.open_stream(response.content).read_all()
        return Answer(table, response.headers.get("X-Stillwatch-Truncated") == "true")

    def health(self) -> Health:
        """How serve stands."""
        return msgspec.json.decode(self._send("/v1/status").content, type=Health)

    def metrics(self) -> str:
        """Prometheus text."""
        return self._send("/metrics").text

    def import_accounts(self, rows: Sequence[Mapping[str, object]]) -> Mapping[str, Any]:
        """Facts about accounts, through the writer."""
        return self._told(self._send("/v1/accounts", rows, timeout_s=600))

    def say_clearing(self, said: Clearing) -> Mapping[str, Any]:
        """What a person knows about accounts, through the writer. Saying it again changes nothing."""
        return self._told(self._send("/v1/clearances", said, timeout_s=600))

    def change_corpus(self, change: CorpusChange) -> Mapping[str, Any]:
        """A known set, through the writer; only hashes of it travel. Adding it again changes nothing."""
        if isinstance(change, AddCorpus):
            from pipeline.serve.corpus_body import encode  # noqa: PLC0415 - only here is it needed

            return self._told(self._send("/v1/corpora", encode(change), timeout_s=600))
        return self._told(self._send(f"/v1/corpora/{change.name}", timeout_s=600, method="DELETE"))

    def say_release(self, said: Release) -> Mapping[str, Any]:
        """When a model was released, through the writer. Saying it again changes nothing."""
        return self._told(self._send("/v1/releases", said, timeout_s=600))

    def resend(self, asked: Resend) -> Mapping[str, Any]:
        """Messages that were given up, through the writer."""
        return self._told(self._send("/v1/resend", asked, timeout_s=600))

    def say_alert(self, said: AlertWord) -> Mapping[str, Any]:
        """A word about alerts, through the writer. Saying it again changes nothing."""
        return self._told(self._send("/v1/alert-words", said, timeout_s=600))

    def silence(self, said: SilenceWord) -> Mapping[str, Any]:
        """A silence that is to hold, or to end, through the writer. Saying it again changes nothing."""
        return self._told(self._send("/v1/silences", said, timeout_s=600))

    def backup(self, target: Path) -> Mapping[str, Any]:
        """A backup at a path of the serving machine."""
        return self._told(self._send("/v1/backup", {"target": str(target.absolute())}, timeout_s=600))

    def _told(self, response: httpx.Response) -> Mapping[str, Any]:
        return msgspec.json.decode(response.content, type=dict[str, Any])

    def _send(
        self,
        path: str,
        body: object = None,
        *,
        timeout_s: float = 10,
        accept: str = "application/json",
        method: str = "GET",
    ) -> httpx.Response:
        headers = {"Accept": accept, "Content-Type": ARROW if isinstance(body, bytes) else "application/json"}
        try:
            if body is None:
                response = self._http.request(method, path, headers=headers, timeout=timeout_s)
            else:
                encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
                response = self._http.post(path, content=encoded, headers=headers, timeout=timeout_s)
        except httpx.HTTPError as error:
            raise StoreError(
                f"serve at {self.address.url} did not answer: {error or type(error).__name__}",
                next_step="look at its log, then try again",
            ) from error
        if response.is_success:
            return response
        try:
            told = msgspec.json.decode(response.content, type=dict[str, str])
        except msgspec.MsgspecError:
            told = {"error": f"HTTP {response.status_code}"}
        kind = (
            QueryError
            if path in {"/v1/sql", "/v1/rules/look"}
            else UsageError
            if response.status_code == 400
            else StoreError
        )
        raise kind(told.get("error", ""), next_step=told.get("next_step", ""))
