"""What people say about alerts: kept word by word, the last of each kind counts; some change it, and are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.alerts.changes import Alert, Changes
from pipeline.alerts.lifecycle import tell
from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.alerts.subjects import Subject, accounts_of, current_subjects
from pipeline.alerts.tables import alerts_by_id
from pipeline.delivery.endpoints import Endpoints
from pipeline.detect.tables import WriteTx
from pipeline.errors import UsageError
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet

CLEARED_BY: Final = "alerts verdict"

_WORD: Final = pl.Schema(
    {
        "seq": pl.Int64(),
        "alert_id": pl.String(),
        "action": pl.String(),
        "value": pl.String(),
        "note": pl.String(),
        "rules": pl.List(pl.String()),
        "said_by": pl.String(),
        "said_at": UTC_MICROSECONDS,
    }
)
_SILENCE: Final = pl.Schema(
    {
        "silence_id": pl.String(),
        "matchers": pl.List(pl.String()),
        "reason": pl.String(),
        "said_by": pl.String(),
        "said_at": UTC_MICROSECONDS,
        "starts_at": UTC_MICROSECONDS,
        "ends_at": UTC_MICROSECONDS,
    }
)


class UnknownAlertError(UsageError):
    """An alert or a silence that there is not, or of which this cannot be said any more."""


def apply_alert_word(
    tx: WriteTx,
    said: AlertWord,
    *,
    now: datetime,
    endpoints: Endpoints,
    metrics: Metrics,
    rules: RuleSet | None,
) -> Sequence[str]:
    """Store a word about alerts, and bring them in line with it; return the accounts that it clears.

    A word that is the last of its kind already changes nothing, so a command may be repeated when its answer was lost.

    Raises:
        UnknownAlertError: there is no such alert, or it is over and cannot be taken on; nothing was stored.
    """
    alerts = alerts_by_id(tx, said.alerts)
    missing = sorted(set(said.alerts) - set(alerts))
    if missing:
        raise UnknownAlertError(f"there is no alert {missing[0]}", next_step="stillwatch alerts list --state any")
    over = [alert.alert_id for alert in alerts.values() if alert.state != "firing"]
    if said.action in {"ack", "unack"} and over:
        raise UnknownAlertError(f"{over[0]} does not fire", next_step="only what fires is taken on: see alerts show")
    changes = Changes(now)
    fresh = _fresh(tx, said, list(alerts.values()))
    told = said.action in {"ack", "resolve", "verdict"}
    subjects = current_subjects(tx, rules, [alert.subject.key for alert in fresh]) if told and fresh else {}
    if fresh:
        _store(tx, said, fresh, now)
    for alert in fresh:
        subject = subjects.get(alert.subject.key, alert.subject)
        if said.action == "ack":
            changes.acknowledge(alert, subject)
        elif alert.state == "firing" and (said.action == "resolve" or _ends(said)):
            changes.resolve(alert, subject)
        elif alert.state == "pending" and said.action == "resolve":
            changes.forget(alert)
    tell(tx, changes, endpoints, metrics)
    if not said.clear:
        return []
    return sorted({account for alert in alerts.values() for account in accounts_of(tx, alert.subject)})


def apply_silence(tx: WriteTx, said: SilenceWord, *, now: datetime) -> str:
    """Store a silence, or end one now; return its id.

    Raises:
        UnknownAlertError: there is none that could end.
    """
    if said.silence_id is not None:
        row = tx.execute("select ends_at from silence where silence_id = $id", {"id": said.silence_id}).fetchone()
        if row is None:
            raise UnknownAlertError(
                f"there is no silence {said.silence_id}", next_step="stillwatch alerts silence list --all"
            )
        tx.execute(
            "update silence set ends_at = $now, ended_by = $by where silence_id = $id and ends_at > $now",
            {"now": now, "by": said.said_by, "id": said.silence_id},
        )
        return said.silence_id
    silence_id = said.new_id
    if tx.execute("select 1 from silence where silence_id = $id", {"id": silence_id}).fetchone() is None:
        fresh = {
            "silence_id": silence_id,
            "matchers": list(said.matchers),
            "reason": said.reason,
            "said_by": said.said_by,
            "said_at": now,
            "starts_at": said.starts_at,
            "ends_at": said.ends_at,
        }
        tx.insert("silence", pl.DataFrame([fresh], schema=_SILENCE))
    return silence_id


def _ends(said: AlertWord) -> bool:
    return said.action == "verdict" and said.value != "true"


def _fresh(tx: WriteTx, said: AlertWord, alerts: Sequence[Alert]) -> list[Alert]:
    """Those of which it is not the last word of its kind already."""
    kinds = ["ack", "unack"] if said.action in {"ack", "unack"} else [said.action]
    rows = tx.execute(
        "select alert_id, arg_max(struct_pack(a := action, v := value, n := note, at := said_at), seq) from alert_word "
        "where action in (select unnest($kinds::varchar[])) and alert_id in (select unnest($ids::varchar[])) "
        "group by alert_id",
        {"kinds": kinds, "ids": [alert.alert_id for alert in alerts]},
    ).fetchall()
    last: Mapping[str, Mapping[str, object]] = dict(rows)
    repeated = _REPEATED[said.action]
    return [alert for alert in alerts if not repeated(said, last.get(alert.alert_id), alert)]


def _same(said: AlertWord, last: Mapping[str, object] | None, alert: Alert) -> bool:
    del alert
    return last is not None and (last["v"], last["n"]) == (said.value, said.note)


def _in_hand(said: AlertWord, last: Mapping[str, object] | None, alert: Alert) -> bool:
    """Acknowledged since it last began to fire; without, there is nothing to take back."""
    acked = last is not None and last["a"] == "ack" and alert.firing_since is not None
    since = acked and last is not None and last["at"] >= alert.firing_since  # type: ignore[operator]
    return since if said.action == "ack" else not since


def _over(said: AlertWord, last: Mapping[str, object] | None, alert: Alert) -> bool:
    del said, last
    return alert.state == "resolved"


_REPEATED: Final[Mapping[str, Callable[[AlertWord, Mapping[str, object] | None, Alert], bool]]] = {
    "ack": _in_hand,
    "unack": _in_hand,
    "assign": _same,
    "note": _same,
    "verdict": _same,
    "resolve": _over,
}


def _store(tx: WriteTx, said: AlertWord, alerts: Sequence[Alert], now: datetime) -> None:
    row = tx.execute("select coalesce(max(seq), 0) from alert_word").fetchone()
    before = row[0] if row else 0
    tx.insert(
        "alert_word",
        pl.DataFrame(
            [
                {
                    "seq": before + number,
                    "alert_id": alert.alert_id,
                    "action": said.action,
                    "value": said.value,
                    "note": said.note,
                    "rules": _rules_behind(tx, alert.subject) if said.action == "verdict" else None,
                    "said_by": said.said_by,
                    "said_at": now,
                }
                for number, alert in enumerate(alerts, start=1)
            ],
            schema=_WORD,
        ),
    )


def _rules_behind(tx: WriteTx, subject: Subject) -> list[str]:
    """Rules whose signals carry an alert now, of a tenth of its accounts at least. Signals do not stay for ever."""
    if subject.rule_id not in {"campaign", "account"}:
        return [subject.rule_id]
    accounts = accounts_of(tx, subject)
    rows = tx.execute(
        "select rule_id from signals where account_id in (select unnest($ids::varchar[])) and strength >= 0.2 "
        "group by rule_id having count(distinct account_id) >= 0.1 * $count order by rule_id",
        {"ids": accounts, "count": len(accounts)},
    ).fetchall()
    return [rule_id for (rule_id,) in rows]
