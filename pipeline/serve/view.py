"""What the HTTP side asks of the process that owns the store: a view to read, commands to hand to the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa

from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.serve.clearing import Clearing
from pipeline.serve.corpora import AddCorpus, RemoveCorpus
from pipeline.serve.releases import Release
from pipeline.serve.resend import Resend


class SqlRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/sql``; limits above the configured ones are lowered to them."""

    sql: str
    params: dict[str, Any] = {}
    max_rows: int | None = None
    timeout_s: float | None = None


class BackupRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/backup``."""

    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of one analyst query. ``truncated``: the row limit cut them."""

    table: pa.Table
    truncated: bool


LOOK_ROWS: Final = 100_000  # of a look of a rule that somebody asks for


@dataclass(frozen=True, slots=True)
class RuleLook:
    """A look of a rule that is asked for by its name. ``text``: which text of it is meant, see ``Rule.text``."""

    rule_id: str
    text: str
    parameters: Mapping[str, float]
    since: datetime
    until: datetime
    explain: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How the serving process stands; counts are since the store was made."""

    ready: bool
    reasons: Sequence[str]  # why not ready, for people
    watermark: datetime | None
    lag_messages: Mapping[str, int]  # by topic
    stalled_partitions: Sequence[int]
    store_bytes: int
    events: int
    dead_letters: int
    holes: int
    alerts_open: int
    outbox_pending: int
    looks_pending: int = 0  # of rules, due by this watermark and not stored yet
    extra: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()  # what somebody should mend, though all goes on


@dataclass(frozen=True, slots=True)
class ImportAccounts:
    """Facts about accounts, one mapping an account, as in ``api.accounts``; the writer checks and applies them."""

    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Backup:
    """A consistent copy of the store into ``target``, a path on the serving machine."""

    target: Path


Command = ImportAccounts | Clearing | AddCorpus | RemoveCorpus | Release | Resend | AlertWord | SilenceWord | Backup


class ServeView(Protocol):
    """What HttpServer needs; every method is called from its threads, never from the writer's."""

    def query(self, sql: str, params: Mapping[str, object], *, max_rows: int, timeout_s: float) -> Answer:
        """Run one analyst query; blocks up to ``timeout_s``. Raises QueryError."""
        ...

    def look(self, asked: RuleLook, *, timeout_s: float) -> Answer:
        """Run a rule that is loaded, or explain it; blocks up to ``timeout_s``. Raises QueryError."""
        ...

    def health(self) -> Health:
        """The state as of the last turn of the loop; does not block."""
        ...

    def submit(self, command: Command) -> Future[Mapping[str, object]]:
        """Hand a write to the writer; the future has what to tell the client, or the StillwatchError."""
        ...
