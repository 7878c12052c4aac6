"""Alerts, their history and the outbox as rows: read, and written in bulk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import polars as pl

from pipeline.alerts.changes import Changes, StoredAlert
from pipeline.alerts.subjects import Subject
from pipeline.config import WebhookSettings
from pipeline.detect.tables import WriteTx
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.rules.run import Tx

_ALERT: Final = pl.Schema(
    {
        "alert_id": pl.String(),
        "subject": pl.String(),
        "rule_id": pl.String(),
        "group_key": pl.String(),
        "campaign_id": pl.String(),
        "severity": pl.String(),
        "state": pl.String(),
        "title": pl.String(),
        "summary": pl.String(),
        "accounts": pl.Int64(),
        "score": pl.Float64(),
        "first_seen": UTC_MICROSECONDS,
        "last_seen": UTC_MICROSECONDS,
        "opened_at": UTC_MICROSECONDS,
        "updated_at": UTC_MICROSECONDS,
        "resolved_at": UTC_MICROSECONDS,
        "seq": pl.Int64(),
        "evidence_sql": pl.String(),
    }
)
_EVENT: Final = pl.Schema(
    {
        "alert_id": pl.String(),
        "seq": pl.Int64(),
        "type": pl.String(),
        "created_at": UTC_MICROSECONDS,
        "severity": pl.String(),
        "accounts": pl.Int64(),
        "score": pl.Float64(),
        "message_id": pl.String(),
    }
)
_OUTBOX: Final = pl.Schema(
    {
        "message_id": pl.String(),
        "alert_id": pl.String(),
        "seq": pl.Int64(),
        "endpoint": pl.String(),
        "body": pl.String(),
        "created_at": UTC_MICROSECONDS,
        "state": pl.String(),
        "attempts": pl.Int64(),
        "next_attempt_at": UTC_MICROSECONDS,
    }
)


def endpoint_id(url: str) -> str:
    """What stands for a receiver in the store: its address may hold a secret and is not written down."""
    return "end_" + hashlib.sha256(url.encode()).hexdigest()[:12]


def endpoint_disabled(tx: Tx, endpoint: str) -> bool:
    """The receiver said 410 Gone."""
    row = tx.execute(
        "select count(*) from webhook_endpoint where endpoint = $endpoint", {"endpoint": endpoint}
    ).fetchone()
    return bool(row and row[0])


def open_alerts(tx: Tx) -> Mapping[str, StoredAlert]:
    """Open alerts by subject."""
    rows = tx.execute(
        "select alert_id, subject, rule_id, group_key, campaign_id, severity, title, summary, accounts, score, "
        "first_seen, last_seen, opened_at, updated_at, seq, evidence_sql from alert where state = 'open' "
        "order by alert_id"
    ).fetchall()
    return {
        row[1]: StoredAlert(
            alert_id=row[0],
            subject=Subject(
                rule_id=row[2],
                group_key=row[3],
                campaign_id=row[4],
                severity=row[5],
                title=row[6],
                summary=row[7],
                accounts=row[8],
                shown=(),
                score=row[9],
                reasons=(),
                evidence_sql=row[15],
                first_seen=row[10],
                last_seen=row[11],
            ),
            severity=row[5],
            opened_at=row[12],
            updated_at=row[13],
            seq=row[14],
        )
        for row in rows
    }


def earlier_alerts(tx: Tx) -> Mapping[str, tuple[int, datetime]]:
    """How often each subject alerted so far, and up to which event time it was told."""
    rows = tx.execute("select subject, count(*), max(last_seen) from alert group by subject").fetchall()
    return {subject: (times, last_seen) for subject, times, last_seen in rows}


def count_open(tx: Tx) -> int:
    """Alerts open now."""
    row = tx.execute("select count(*) from alert where state = 'open'").fetchone()
    return int(row[0]) if row else 0


def write_changes(tx: WriteTx, changes: Changes, webhook: WebhookSettings) -> None:
    """Write what one pass made. Without a webhook nothing goes to the outbox; the history stands all the same."""
    if changes.alerts:
        tx.execute(
            "delete from alert where alert_id in (select unnest($ids::varchar[]))",
            {"ids": [row.alert_id for row in changes.alerts]},
        )
        tx.insert("alert", _alert_frame(changes))
    if not changes.events:
        return
    tx.insert(
        "alert_event",
        pl.DataFrame(
            [
                {
                    "alert_id": row.change.alert_id,
                    "seq": row.seq,
                    "type": row.change.type,
                    "created_at": changes.now,
                    "severity": row.change.severity,
                    "accounts": row.accounts,
                    "score": row.score,
                    "message_id": row.change.message_id,
                }
                for row in changes.events
            ],
            schema=_EVENT,
        ),
    )
    if webhook.url is None:
        return
    endpoint = endpoint_id(webhook.url)
    state = "disabled" if endpoint_disabled(tx, endpoint) else "pending"
    tx.insert(
        "outbox",
        pl.DataFrame(
            [
                {
                    "message_id": row.change.message_id,
                    "alert_id": row.change.alert_id,
                    "seq": row.seq,
                    "endpoint": endpoint,
                    "body": row.body,
                    "created_at": changes.now,
                    "state": state,
                    "attempts": 0,
                    "next_attempt_at": changes.now,
                }
                for row in changes.events
            ],
            schema=_OUTBOX,
        ),
    )


def _alert_frame(changes: Changes) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "alert_id": row.alert_id,
                "subject": row.subject.key,
                "rule_id": row.subject.rule_id,
                "group_key": row.subject.group_key,
                "campaign_id": row.subject.campaign_id,
                "severity": row.severity,
                "state": row.state,
                "title": row.subject.title,
                "summary": row.subject.summary,
                "accounts": row.subject.accounts,
                "score": row.subject.score,
                "first_seen": row.subject.first_seen,
                "last_seen": row.subject.last_seen,
                "opened_at": row.opened_at,
                "updated_at": row.updated_at,
                "resolved_at": row.resolved_at,
                "seq": row.seq,
                "evidence_sql": row.subject.evidence_sql,
            }
            for row in changes.alerts
        ],
        schema=_ALERT,
    )
