"""What is held back, and what of it goes on its way now: silences, inhibition, mute hours, groups.

Every message is written as held. ``release`` looks at all that is held, in each turn of the writer and in its
transaction: what nothing holds becomes pending. So a silence that ends, a campaign that is over or the morning after
mute hours needs nobody who remembers it, and a restart in between changes nothing.

What a receiver is told when a hold ends is how things stand then: of several events of one alert the last, as an
opening if it was told of none before; nothing at all where the alert is over and it never knew. What was told to be
open is told to be over, silenced or not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pipeline.alerts.changes import message_id
from pipeline.alerts.silences import Traits, silenced_by, silences_now
from pipeline.alerts.tables import gone_endpoints, insert_messages, message_row
from pipeline.delivery.bodies import AlertBody, EventType, group_body, native, read_native
from pipeline.delivery.endpoints import Endpoint, Endpoints
from pipeline.delivery.mute import muted
from pipeline.detect.tables import WriteTx

_HELD: Final = """
select
    outbox.endpoint,
    outbox.message_id,
    outbox.alert_id,
    outbox.seq,
    outbox.created_at,
    outbox.type,
    outbox.body,
    alert.state,
    alert.rule_id,
    alert.severity,
    alert.dimension,
    alert.campaign_id,
    alert.group_key,
    alert.tags,
    alert.within,
    exists (
        select 1
        from outbox as earlier
        where
            earlier.endpoint = outbox.endpoint and earlier.alert_id = outbox.alert_id
            and earlier.state not in ('held', 'skipped')
            and earlier.created_at >= alert.opened_at
    ) as told
from outbox
inner join alert on outbox.alert_id = alert.alert_id
where outbox.state = 'held'
order by outbox.endpoint, outbox.alert_id, outbox.seq, outbox.created_at
"""


@dataclass(frozen=True, slots=True)
class _Held:
    """One message that is held."""

    message_id: str
    created_at: datetime
    type: EventType
    body: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """All that one endpoint is to be told of one alert, in order."""

    endpoint: str
    alert: Traits
    over: bool
    within: str | None
    told: bool  # of this alert, before
    messages: Sequence[_Held]

    @property
    def ends(self) -> bool:
        """The receiver knows of it, and it is over: it is told so whatever holds the alert."""
        return self.told and self.over


def release(tx: WriteTx, now: datetime, endpoints: Endpoints) -> int:
    """Send on its way what nothing holds, and say of the rest what does; return how many messages became pending."""
    waiting = _waiting(tx)
    if not waiting:
        return 0
    silences = silences_now(tx, now)
    told_of = _campaigns_told_of(tx)
    gone = gone_endpoints(tx)
    marks: dict[tuple[str, str], _Mark] = {}
    grouped: dict[tuple[str, str], list[_Waiting]] = defaultdict(list)
    for one in waiting:
        endpoint = endpoints.by_name.get(one.endpoint)
        why = None if one.ends else _held_for(one, silences_by=silenced_by(one.alert, silences), told_of=told_of)
        if why is None and endpoint is not None and muted(endpoint.mute, endpoint.timezone, now):
            why = "mute hours"
        if why is not None:
            marks |= {(one.endpoint, item.message_id): _Mark("held", why) for item in one.messages}
        elif endpoint is not None and endpoint.group_by and one.endpoint not in gone:
            grouped[one.endpoint, _group(endpoint, one.alert)].append(one)
        else:
            marks |= _sent(one, "disabled" if one.endpoint in gone else "pending")
    for (name, group), of in grouped.items():
        marks |= _send_group(tx, name, endpoints.by_name[name], group, of, now)
    _write(tx, marks, now)
    return sum(mark.state == "pending" for mark in marks.values())


@dataclass(frozen=True, slots=True)
class _Mark:
    """What becomes of a held message."""

    state: str
    held_for: str | None = None
    told_in: str | None = None
    body: str | None = None  # in place of what stands there
    type: str | None = None


def _waiting(tx: WriteTx) -> list[_Waiting]:
    if not (tx.execute("select count(*) from outbox where state = 'held'").fetchone() or (0,))[0]:
        return []
    found: dict[tuple[str, str], _Waiting] = {}
    messages: dict[tuple[str, str], list[_Held]] = defaultdict(list)
    for row in tx.execute(_HELD).fetchall():
        key = row[0], row[2]
        messages[key].append(_Held(row[1], row[4], row[5], row[6]))
        if key not in found:
            traits = Traits(
                alert_id=row[2],
                rule=row[8],
                severity=row[9],
                dimension=row[10],
                campaign_id=row[11],
                key=row[12],
                tags=frozenset(row[13] or ()),
            )
            found[key] = _Waiting(row[0], traits, row[7] == "resolved", row[14], row[15], messages[key])
    return list(found.values())


def _held_for(one: _Waiting, *, silences_by: str | None, told_of: Mapping[str, str]) -> str | None:
    if silences_by is not None:
        return f"silence {silences_by}"
    if one.within is not None and one.within in told_of:
        return f"campaign's alert {told_of[one.within]}"
    return None


def _campaigns_told_of(tx: WriteTx) -> Mapping[str, str]:
    rows = tx.execute(
        "select campaign_id, min(alert_id) from alert where rule_id = 'campaign' and state = 'firing' "
        "group by campaign_id"
    ).fetchall()
    return dict(rows)


def _last_word(one: _Waiting) -> tuple[_Held, AlertBody] | None:
    """What is told of several events: the last, as an opening where the receiver knows of none; None: nothing."""
    if one.over and not one.told:
        return None
    last = one.messages[-1]
    event = read_native(last.body)
    if not one.told and event.type != "alert.opened":
        event = msgspec.structs.replace(event, type="alert.opened")
    return last, event


def _sent(one: _Waiting, state: str) -> dict[tuple[str, str], _Mark]:
    said = _last_word(one)
    marks = {(one.endpoint, item.message_id): _Mark("skipped") for item in one.messages}
    if said is not None:
        last, event = said
        changed = event.type != last.type
        marks[one.endpoint, last.message_id] = _Mark(
            state,
            body=native(event).decode() if changed else None,
            type=event.type if changed else None,
        )
    return marks


def _group(endpoint: Endpoint, alert: Traits) -> str:
    """Which group of an endpoint an alert belongs to, for people."""
    return ", ".join(f"{name}={' '.join(alert.values(name)) or '-'}" for name in endpoint.group_by if name != "all")


def _send_group(  # noqa: PLR0917 - names of one place
    tx: WriteTx, name: str, endpoint: Endpoint, group: str, of: Sequence[_Waiting], now: datetime
) -> dict[tuple[str, str], _Mark]:
    """One message for all of them, once the group has waited long enough."""
    group_id = "grp_" + hashlib.sha256(f"{name}|{group}".encode()).hexdigest()[:16]
    row = tx.execute(
        "select count(*), max(created_at) from outbox where endpoint = $endpoint and alert_id = $group",
        {"endpoint": name, "group": group_id},
    ).fetchone()
    times, before = row or (0, None)
    first = min(item.created_at for one in of for item in one.messages)
    due = first + timedelta(seconds=endpoint.group_wait_s)
    if before is not None:
        due = max(due, before + timedelta(seconds=endpoint.group_interval_s))
    if now < due:
        why = f"its group, until {due:%Y-%m-%d %H:%M:%S} UTC"
        return {(name, item.message_id): _Mark("held", why) for one in of for item in one.messages}
    marks: dict[tuple[str, str], _Mark] = {}
    events = []
    told_in = message_id(group_id, times)
    for one in of:
        said = _last_word(one)
        marks |= {(name, item.message_id): _Mark("skipped") for item in one.messages}
        if said is not None:
            marks[name, said[0].message_id] = _Mark("grouped", told_in=told_in)
            events.append(said[1])
    if events:
        body = group_body(events, group=group or "all", group_id=group_id, seq=times, now=now)
        insert_messages(
            tx, [message_row(told_in, group_id, times, name, body.decode(), "alerts.grouped", "pending", now)]
        )
    return marks


def _write(tx: WriteTx, marks: Mapping[tuple[str, str], _Mark], now: datetime) -> None:
    """All in one statement; what stays held for the same reason is not touched."""
    if not marks:
        return
    tx.execute(
        """
        update outbox
        set
            state = mark.state,
            held_for = mark.held_for,
            told_in = mark.told_in,
            body = coalesce(mark.body, outbox.body),
            type = coalesce(mark.type, outbox.type),
            next_attempt_at = $now
        from (
            select
                unnest($endpoints::varchar[]) as endpoint,
                unnest($messages::varchar[]) as message_id,
                unnest($states::varchar[]) as state,
                unnest($reasons::varchar[]) as held_for,
                unnest($told_in::varchar[]) as told_in,
                unnest($bodies::varchar[]) as body,
                unnest($types::varchar[]) as type
        ) as mark
        where
            outbox.endpoint = mark.endpoint
            and outbox.message_id = mark.message_id
            and outbox.state = 'held'
            and (mark.state <> 'held' or mark.held_for is distinct from outbox.held_for)
        """,
        {
            "now": now,
            "endpoints": [endpoint for endpoint, _ in marks],
            "messages": [message for _, message in marks],
            "states": [mark.state for mark in marks.values()],
            "reasons": [mark.held_for for mark in marks.values()],
            "told_in": [mark.told_in for mark in marks.values()],
            "bodies": [mark.body for mark in marks.values()],
            "types": [mark.type for mark in marks.values()],
        },
    )
