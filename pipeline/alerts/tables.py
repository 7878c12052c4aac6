"""Alerts, their history and the outbox as rows: read, and written in bulk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipeline.alerts.changes import Alert, Changes
from pipeline.alerts.subjects import Subject
from pipeline.delivery.endpoints import Endpoints
from pipeline.detect.tables import WriteTx
from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.rules.meta import PIPELINE
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
        "dimension": pl.String(),
        "tags": pl.List(pl.String()),
        "within": pl.String(),
        "pending_since": UTC_MICROSECONDS,
        "firing_since": UTC_MICROSECONDS,
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
OUTBOX: Final = pl.Schema(
    {
        "message_id": pl.String(),
        "alert_id": pl.String(),
        "seq": pl.Int64(),
        "endpoint": pl.String(),
        "body": pl.String(),
        "created_at": UTC_MICROSECONDS,
        "state": pl.String(),
        "type": pl.String(),
        "attempts": pl.Int64(),
        "next_attempt_at": UTC_MICROSECONDS,
    }
)


def gone_endpoints(tx: Tx) -> frozenset[str]:
    """Receivers that said 410 Gone."""
    return frozenset(row[0] for row in tx.execute("select endpoint from webhook_endpoint").fetchall())


UPDATE_EVERY: Final = timedelta(minutes=5)  # updates of one alert, unless it became more severe
_SELECT: Final = (
    "select alert_id, rule_id, group_key, campaign_id, severity, title, summary, accounts, score, first_seen, "
    "last_seen, opened_at, updated_at, seq, evidence_sql, state, resolved_at, dimension, tags, within, "
    "pending_since, firing_since, count(*) over (partition by subject) from alert "
)
_AMONG: Final = "subject in (select unnest($subjects::varchar[]))"


def standing_alerts(tx: Tx, keys: Collection[str]) -> Mapping[str, Alert]:
    """Alerts that wait or fire, by subject, of these subjects."""
    sql = _SELECT + f"where state <> 'resolved' and {_AMONG} order by alert_id"
    rows = tx.execute(sql, {"subjects": list(keys)}).fetchall()
    return {alert.subject.key: alert for alert in map(_alert, rows)}


def standing_of_pipeline(tx: Tx) -> Mapping[str, Alert]:
    """Alerts about the pipeline itself that wait or fire, by subject."""
    sql = _SELECT + "where state <> 'resolved' and dimension = $pipeline order by alert_id"
    return {alert.subject.key: alert for alert in map(_alert, tx.execute(sql, {"pipeline": PIPELINE}).fetchall())}


def last_alerts(tx: Tx, keys: Collection[str]) -> Mapping[str, tuple[int, Alert]]:
    """How often each of these subjects alerted so far, and its last alert, where that is over."""
    rows = tx.execute(
        _SELECT + f"where {_AMONG} "
        "qualify row_number() over (partition by subject order by opened_at desc, alert_id desc) = 1 "
        "and state = 'resolved'",
        {"subjects": list(keys)},
    ).fetchall()
    found = [(int(row[-1]), _alert(row)) for row in rows]
    return {alert.subject.key: (times, alert) for times, alert in found}


def alerts_by_id(tx: Tx, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
    """Those of these alerts that there are."""
    rows = tx.execute(
        _SELECT + "where alert_id in (select unnest($ids::varchar[])) order by alert_id",
        {"ids": list(alert_ids)},
    ).fetchall()
    return {alert.alert_id: alert for alert in map(_alert, rows)}


def _alert(row: Sequence[Any]) -> Alert:
    return Alert(
        alert_id=row[0],
        subject=Subject(
            rule_id=row[1],
            group_key=row[2],
            campaign_id=row[3],
            severity=row[4],
            title=row[5],
            summary=row[6],
            accounts=row[7],
            shown=(),
            score=row[8],
            reasons=(),
            evidence_sql=row[14],
            first_seen=row[9],
            last_seen=row[10],
            dimension=row[17],
            tags=frozenset(row[18] or ()),
            within=row[19],
        ),
        severity=row[4],
        state=row[15],
        opened_at=row[11],
        updated_at=row[12],
        resolved_at=row[16],
        pending_since=row[20],
        firing_since=row[21],
        seq=row[13],
    )


def count_firing(tx: Tx) -> int:
    """Alerts that are told and not over."""
    row = tx.execute("select count(*) from alert where state = 'firing'").fetchone()
    return int(row[0]) if row else 0


def growth_is_due(tx: Tx, now: datetime) -> bool:
    """A campaign has more accounts than were told, and may be told again: also where nothing comes any more."""
    row = tx.execute(
        "select 1 from alert inner join campaign on alert.campaign_id = campaign.campaign_id "
        "where alert.rule_id = 'campaign' and alert.state = 'firing' and alert.updated_at <= $before "
        "and campaign.merged_into is null and campaign.named_accounts > alert.accounts limit 1",
        {"before": now - UPDATE_EVERY},
    ).fetchone()
    return row is not None


def write_changes(tx: WriteTx, changes: Changes, endpoints: Endpoints) -> None:
    """Write what one pass made: alerts, their history, and a held message for each endpoint that wants it."""
    written = [*(row.alert_id for row in changes.alerts), *changes.forgotten]
    if written:
        tx.execute("delete from alert where alert_id in (select unnest($ids::varchar[]))", {"ids": written})
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
    messages = [
        message_row(
            row.change.message_id,
            row.change.alert_id,
            row.seq,
            endpoint,
            row.body,
            row.change.type,
            "held",
            changes.now,
        )
        for row in changes.events
        for endpoint in endpoints.wanting(row.told)
    ]
    if messages:
        insert_messages(tx, messages)


def message_row(  # noqa: PLR0917 - a row
    message: str, alert_id: str, seq: int, endpoint: str, body: str, kind: str, state: str, now: datetime
) -> Mapping[str, object]:
    """A message as the outbox has it, due now."""
    return {
        "message_id": message,
        "alert_id": alert_id,
        "seq": seq,
        "endpoint": endpoint,
        "body": body,
        "created_at": now,
        "state": state,
        "type": kind,
        "attempts": 0,
        "next_attempt_at": now,
    }


def insert_messages(tx: WriteTx, rows: Iterable[Mapping[str, object]]) -> None:
    """Put them there."""
    tx.insert("outbox", pl.DataFrame(list(rows), schema=OUTBOX))


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
                "dimension": row.subject.dimension,
                "tags": sorted(row.subject.tags),
                "within": row.subject.within,
                "pending_since": row.pending_since,
                "firing_since": row.firing_since,
            }
            for row in changes.alerts
        ],
        schema=_ALERT,
    )
