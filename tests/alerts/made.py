"""A store with findings put into it by hand, and what is told of them, pass by pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from pipeline.alerts import update_alerts
from pipeline.alerts.holding import release
from pipeline.alerts.reminders import remind
from pipeline.alerts.said import Action, AlertWord, SilenceWord, check_alert_word, check_silence
from pipeline.alerts.words import apply_alert_word, apply_silence
from pipeline.clock import ManualClock
from pipeline.config import RuleSettings
from pipeline.delivery.bodies import AlertBody, GroupBody, read_group, read_native
from pipeline.delivery.endpoints import Endpoint, Endpoints
from pipeline.delivery.outbox import Outcome, due, mark_outcomes
from pipeline.delivery.retry import Verdict
from pipeline.detect import DetectionResult
from pipeline.metrics import Metrics
from pipeline.rules import RuleSet, load_rules
from pipeline.rules.model import Window
from tests.detect.world import Tx

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
RULE = "shared_client"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def match_rules(**meta: object) -> RuleSet:
    """One rule that alerts by itself, with some of its fields as given."""
    rule = load_rules(RuleSettings()).rules[RULE]
    return RuleSet({RULE: replace(rule, meta=rule.meta.model_copy(update={"alert": "match", "alert_at": 0.5, **meta}))})


class Day:
    """One day of a store: wall clock and event time go together, a minute behind each other."""

    def __init__(self, rules: RuleSet | None = None, *, tx: Any = None, **endpoints: dict[str, object]) -> None:
        self.tx = tx or Tx()
        self.clock = ManualClock(START)
        self.rules = rules
        self.endpoints = Endpoints(
            {
                name: Endpoint.model_validate({"url": "https://a.example/", "secret": SECRET, **values})
                for name, values in (endpoints or {"team": {}}).items()
            }
        )

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def campaign(self, accounts: int, campaign_id: str = "cmp_1", *, seen: datetime | None = None) -> None:
        """A campaign with so many named accounts, whose evidence goes on until ``seen``."""
        last = seen or self.now
        for table in ("campaign", "campaign_member", "finding"):
            self.tx.execute(f"delete from {table} where campaign_id = $id", {"id": campaign_id})
        row = {"campaign_id": campaign_id, "first_seen": START, "last_seen": last}
        self.tx.insert(
            "campaign",
            pl.DataFrame(
                [
                    {
                        **row,
                        "first_key": "k",
                        "score": 0.97,
                        "accounts": accounts,
                        "named_accounts": accounts,
                        "reasons": ["They send the same."],
                        "created_at": START,
                        "updated_at": START,
                    }
                ]
            ),
        )
        ids = [f"{campaign_id}_{number}" for number in range(accounts)]
        self.tx.insert(
            "campaign_member",
            pl.DataFrame([{**row, "account_id": one, "probability": 0.99, "joined_at": START} for one in ids]),
        )
        self.tx.insert(
            "finding",
            pl.DataFrame(
                [
                    {
                        **row,
                        "finding_id": f"fnd_{one}",
                        "dimension": "account",
                        "entity_id": one,
                        "score": 0.97,
                        "named": True,
                        "reasons": ["It sends the same."],
                        "created_at": START,
                        "updated_at": START,
                    }
                    for one in ids
                ]
            ),
        )

    def over(self, campaign_id: str = "cmp_1") -> None:
        """Nobody is named of it any more."""
        self.tx.execute("update campaign set named_accounts = 0 where campaign_id = $id", {"id": campaign_id})

    def matches(self, accounts: Sequence[str], group: str = "client:x", *, seen: datetime | None = None) -> None:
        """Signals of RULE, strong enough to alert by themselves."""
        self.tx.execute("delete from signal where group_key = $group", {"group": group})
        self.tx.insert(
            "signal",
            pl.DataFrame(
                [
                    {
                        "rule_id": RULE,
                        "evidence": "likeness",
                        "dimension": "client",
                        "entity_id": group,
                        "account_id": account,
                        "group_key": group,
                        "strength": 0.7,
                        "reason": "It shares a client.",
                        "window_start": START,
                        "window_end": START + timedelta(days=1),
                        "first_seen": START,
                        "last_seen": seen or self.now,
                    }
                    for account in accounts
                ]
            ),
        )

    def look(self, *, evaluated: bool = True) -> list[str]:
        """A pass of the rules (or one in which none was due), and what it made happen to alerts."""
        window = Window(START, self.now, self.now)
        changes = update_alerts(
            self.tx,
            DetectionResult(self.now, windows={RULE: [window]} if evaluated else {}),
            now=self.now,
            endpoints=self.endpoints,
            metrics=Metrics(),
            rules=self.rules,
        )
        self.turn()
        return [change.type for change in changes]

    def turn(self) -> None:
        """What each turn of the writer does about what is held."""
        remind(self.tx, self.now, self.endpoints)
        release(self.tx, self.now, self.endpoints)

    def say(self, action: Action, *, alert: str | None = None, by: str = "ana", **more: Any) -> list[str]:
        """A word about an alert, the only one unless it is named; whom it cleared."""
        alert_id = alert or self.ask("select alert_id from alerts")[0][0]
        said = check_alert_word(AlertWord((alert_id,), action, by, **more))
        cleared = apply_alert_word(
            self.tx, said, now=self.now, endpoints=self.endpoints, metrics=Metrics(), rules=self.rules
        )
        self.turn()
        return list(cleared)

    def silence(self, *matchers: str, hours: float) -> str:
        """From now on."""
        said = SilenceWord("ana", None, matchers, "because", self.now, self.now + timedelta(hours=hours))
        silence_id = apply_silence(self.tx, check_silence(said, self.now), now=self.now)
        self.turn()
        return silence_id

    def advance(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())

    def told(self, endpoint: str = "team") -> list[str]:
        """Deliver what is due to a receiver that takes it; the types of what it got."""
        return [event.type for event in self.delivered(endpoint)]

    def delivered(self, endpoint: str = "team") -> list[AlertBody | GroupBody]:
        """Deliver what is due, round after round, in the order in which a receiver gets it."""
        got: list[AlertBody | GroupBody] = []
        while messages := due(self.tx, self.now, endpoint=endpoint):
            got += [read_group(message.body) or read_native(message.body) for message in messages]
            mark_outcomes(
                self.tx, [Outcome(one.message_id, endpoint, "delivered", 1, self.now, 200) for one in messages]
            )
        return got

    def refused(self, endpoint: str = "team", status: int = 400) -> int:
        """Try what is due at a receiver that takes nothing: given up by 400, tried again by 500; how many messages."""
        messages = due(self.tx, self.now, endpoint=endpoint)
        verdict: Verdict = "failed" if status < 500 else "retry"
        later = None if verdict == "failed" else self.now + timedelta(hours=1)
        mark_outcomes(
            self.tx,
            [
                Outcome(one.message_id, endpoint, verdict, one.attempts + 1, self.now, status, "no", later)
                for one in messages
            ],
        )
        return len(messages)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.tx.execute(sql).fetchall()

    def states(self) -> list[str]:
        return [row[0] for row in self.ask("select state from alerts order by opened_at, alert_id")]
