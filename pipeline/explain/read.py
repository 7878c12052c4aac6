"""Asks the questions in ``sql/explain`` and gives their rows as records."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pipeline.explain.covered import Covered
from pipeline.explain.model import (
    Bar,
    CampaignEvent,
    CampaignSignal,
    Companion,
    Crowd,
    Known,
    Member,
    Rate,
    SharedThing,
    Signal,
    StoreState,
    SucceededBy,
    Thing,
    Timeline,
    Trait,
)
from pipeline.explain.worth import Naming
from pipeline.resources import sql_dir
from pipeline.serve.ask import Asker

MINUTES_SPAN: Final = timedelta(hours=4)  # up to which a timeline has minutes
COMPANIONS: Final = 60
THINGS: Final = 8  # of a kind
MAX_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class Span:
    """The event time that an explanation looks at, whole hours: links are kept by hour."""

    since: datetime
    until: datetime

    @classmethod
    def around(cls, first: datetime, last: datetime) -> Span:
        """The hours from the first to the last, both included."""
        begin = first.replace(minute=0, second=0, microsecond=0)
        return cls(begin, last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))

    @property
    def params(self) -> dict[str, str]:
        """For binding, as text: JSON carries them to a serving process."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}


@functools.cache
def question(name: str) -> str:
    """The text of one file of ``sql/explain``."""
    return (sql_dir("explain") / f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Reader:
    """Asks a store, served or not. Every method may raise QueryError."""

    source: Asker
    timeout_s: float

    def rows(self, name: str, **params: object) -> list[dict[str, Any]]:
        """The rows of one question."""
        return self._ask(name, params)[0]

    def _ask(self, name: str, params: dict[str, object]) -> tuple[list[dict[str, Any]], bool]:
        answer = self.source.query(question(name), params, max_rows=None, timeout_s=self.timeout_s)
        return answer.table.to_pylist(), answer.truncated

    def store(self) -> StoreState:
        """How far the store has come."""
        return StoreState(**self.rows("store")[0])

    def account(self, account_id: str) -> Known | None:
        """What is known about an account; None: nothing."""
        found = self.rows("account", account=account_id)
        return Known(**found[0]) if found else None

    def naming(self) -> Naming | None:
        """What it took to be named; None: nothing was looked at yet."""
        found = self.rows("naming")
        return Naming(**found[0]) if found else None

    def campaign(self, campaign_id: str) -> dict[str, Any] | None:
        """The campaign as it stands."""
        found = self.rows("campaign", campaign=campaign_id)
        return found[0] if found else None

    def merged_into(self, campaign_id: str) -> str | None:
        """The campaign that one that was merged goes on in."""
        found = self.rows("merged", campaign=campaign_id)
        return str(found[0]["merged_into"]) if found else None

    def nearest(self, text: str) -> list[str]:
        """Ids that look like it."""
        return [row["id"] for row in self.rows("nearest", id=text)]

    def signals(self, account_id: str, watermark: datetime | None) -> list[Signal]:
        """All signals against an account, those that count first."""
        names = Signal.__dataclass_fields__.keys() - {"open_window"}
        return [
            Signal(
                **{name: row[name] for name in names},
                open_window=watermark is None or row["window_end"] > watermark,
            )
            for row in self.rows("account_signals", account=account_id)
        ]

    def rate(self, account_id: str, span: Span) -> Rate | None:
        """How busy it was among all; None: it sent nothing in the span."""
        [row] = self.rows("account_rate", account=account_id, **span.params)
        return Rate(**row) if row["events"] else None

    def things(self, account_id: str, span: Span) -> list[Thing]:
        """What it used, the most frequent of each kind."""
        return [Thing(**row) for row in self.rows("account_things", account=account_id, most=THINGS, **span.params)]

    def known_sets(self, account_id: str, span: Span) -> list[Covered]:
        """Which known sets it sent items of."""
        return [Covered(**row) for row in self.rows("account_known_sets", account=account_id, **span.params)]

    def crowds(self, keys: Sequence[str], span: Span, *, young_days: int) -> list[Crowd]:
        """Who shares each thing; without those that no request shows."""
        params = {"keys": list(keys)[:MAX_KEYS], "young_days": young_days, **span.params}
        return [
            Crowd(**{**row, "traits": [Trait(**item) for item in row["traits"]]})
            for row in (self.rows("key_population", **params) if keys else [])
        ]

    def companions(self, account_id: str) -> tuple[list[Companion], int]:
        """The accounts closest to it by shared things, and how many there are in all."""
        rows = self.rows("companions", account=account_id, most=COMPANIONS)
        total = int(rows[0]["total"]) if rows else 0
        return [Companion(**{k: v for k, v in row.items() if k != "total"}) for row in rows], total

    def campaign_keys(self, campaign_id: str) -> list[str]:
        """The things that join a campaign."""
        return [row["group_key"] for row in self.rows("campaign_keys", campaign=campaign_id)]

    def campaign_events(self, campaign_id: str) -> list[CampaignEvent]:
        """What looks saw change in it."""
        return [CampaignEvent(**row) for row in self.rows("campaign_events", campaign=campaign_id)]

    def successions(self, campaign_id: str) -> list[SucceededBy]:
        """Whom its accounts took over from, and who took over from them."""
        return [SucceededBy(**row) for row in self.rows("campaign_successions", campaign=campaign_id)]

    def campaign_things(self, campaign_id: str) -> list[SharedThing]:
        """What its named accounts share, the weightiest of each kind first."""
        return [SharedThing(**row) for row in self.rows("campaign_things", campaign=campaign_id)]

    def campaign_signals(self, campaign_id: str) -> list[CampaignSignal]:
        """What rules say about its members."""
        return [CampaignSignal(**row) for row in self.rows("campaign_signals", campaign=campaign_id)]

    def members(self, campaign_id: str) -> tuple[list[Member], bool]:
        """Its members, and whether the row limit cut them."""
        rows, cut = self._ask("campaign_members", {"campaign": campaign_id})
        return [Member(**row) for row in rows], cut

    def timeline(self, span: Span, *, account: str | None = None, campaign: str | None = None) -> Timeline:
        """Requests by minute where the span is short and minutes are still kept, else by hour."""
        params: dict[str, Any] = {"account": account, "campaign": campaign, **span.params}
        if span.until - span.since <= MINUTES_SPAN:
            bars = [Bar(**row) for row in self.rows("timeline_minutes", **params)]
            if bars:
                return Timeline("minute", span.since, span.until, bars)
        return Timeline("hour", span.since, span.until, [Bar(**row) for row in self.rows("timeline_hours", **params)])
