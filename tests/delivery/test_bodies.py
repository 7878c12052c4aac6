"""What is sent: each body within its receiver's limits, whatever an alert says, and one identity over its life."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from pipeline.delivery.bodies import (
    BODY_VERSION,
    MAX_GROUPED,
    AlertBody,
    AlertData,
    EventType,
    alertmanager_alerts,
    alertmanager_webhook,
    group_body,
    limited,
    native,
    ocsf,
    pagerduty,
    read_group,
    read_native,
    rendered,
    slack,
)
from pipeline.delivery.bodies.text import CUT, shortened
from pipeline.rules.model import SEVERITIES

SCHEMA: Final = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).resolve().parents[2] / "docs/bodies/webhook-1.schema.json").read_text())
)

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
DATA = AlertData(
    alert_id="alt_0123456789abcdef",
    seq=3,
    rule="campaign",
    severity="high",
    state="firing",
    campaign_id="cmp_1",
    title="40 accounts act as one",
    summary="40 accounts are named, with a mean score of 0.97.",
    score=0.97,
    accounts=40,
    account_ids=[f"acct_{number}" for number in range(20)],
    account_ids_truncated=True,
    reasons=["They send one prompt.", "All are new.", "One client.", "One payment.", "One more."],
    evidence_sql="select * from suspicious_accounts where campaign_id = 'cmp_1'",
    first_seen=NOW - timedelta(hours=2),
    last_seen=NOW - timedelta(minutes=2),
)
EVENT = AlertBody("alert.opened", BODY_VERSION, NOW, DATA)
LONG = st.builds(
    lambda unit, times: unit * times, st.sampled_from(["<", "&", ">", "`", "x", "```<"]), st.integers(700, 3100)
)
TEXTS = st.text(max_size=20) | LONG
EVENTS = st.builds(
    AlertBody,
    st.sampled_from(get_args(EventType)),
    st.just(BODY_VERSION),
    st.just(NOW),
    st.builds(
        lambda severity, title, summary, reasons, sql, shown, score: msgspec.structs.replace(
            DATA,
            severity=severity,
            title=title,
            summary=summary,
            reasons=reasons,
            evidence_sql=sql,
            account_ids=shown,
            score=score,
        ),
        st.sampled_from(SEVERITIES),
        TEXTS,
        TEXTS,
        st.lists(TEXTS, max_size=4),
        TEXTS,
        st.lists(st.text(max_size=9), max_size=4),
        st.floats(0, 1),
    ),
)


def _over(event: AlertBody) -> AlertBody:
    later = msgspec.structs.replace(event.data, severity="critical", accounts=90, seq=9, state="resolved")
    return AlertBody("alert.resolved", BODY_VERSION, NOW + timedelta(hours=3), later)


@given(TEXTS, st.integers(20, 300))
def test_what_is_cut_says_so(text: str, limit: int) -> None:
    found = shortened(text, limit)
    assert len(found) <= limit
    assert found == text or (found.endswith(CUT) and text.startswith(found.removesuffix(CUT)))


@given(EVENTS)
def test_the_native_body_is_read_back(event: AlertBody) -> None:
    assert read_native(native(event)) == event
    assert all(len(text) <= 2000 for text in [limited(event.data).title, *limited(event.data).reasons])


@given(EVENTS)
def test_slack_within_its_limits_and_nothing_from_data_is_a_link(event: AlertBody) -> None:
    body = json.loads(slack(event))
    assert len(body["blocks"]) <= 50
    for block in body["blocks"]:
        texts = [*block.get("fields", []), *([block["text"]] if "text" in block else [])]
        for text in texts:
            limit = 150 if text["type"] == "plain_text" else (2000 if "fields" in block else 3000)
            assert 0 < len(text["text"]) <= limit
            if text["type"] == "mrkdwn":
                assert "<" not in text["text"]
                assert ">" not in text["text"]
    if event.data.evidence_sql.strip() and "`" not in event.data.evidence_sql:
        assert body["blocks"][-1]["text"]["text"].count("```") == 2


@given(EVENTS)
def test_pagerduty_within_its_limits(event: AlertBody) -> None:
    text = pagerduty(event, routing_key="k" * 32)
    body = json.loads(text)
    assert len(text) < 512_000
    assert body["routing_key"] == "k" * 32
    said = {"alert.resolved": "resolve", "alert.acknowledged": "acknowledge"}.get(event.type, "trigger")
    assert body["event_action"] == said
    assert len(body["dedup_key"]) <= 255
    if said == "trigger":
        assert len(body["payload"]["summary"]) <= 1024
        assert body["payload"]["severity"] in {"critical", "error", "warning", "info"}
        assert body["payload"]["source"]


@given(EVENTS)
def test_ocsf_is_a_detection_finding_to_its_models(event: AlertBody) -> None:
    body = json.loads(ocsf(event, version="1"))
    found = DetectionFinding.model_validate(body)
    assert found.class_uid == 2004
    assert found.type_uid.value == 200400 + found.activity_id.value
    assert found.finding_info.uid == event.data.alert_id
    assert (found.status == "Resolved") == event.over


def _labels(text: bytes) -> dict[str, Any]:
    alerts = json.loads(text)
    return dict((alerts["alerts"] if isinstance(alerts, dict) else alerts)[0]["labels"])


@pytest.mark.parametrize("make", [alertmanager_alerts, lambda event: alertmanager_webhook(event, receiver="r")])
def test_to_alertmanager_an_alert_is_one_over_its_life(make: Any) -> None:
    assert _labels(make(EVENT)) == _labels(make(_over(EVENT)))


def test_an_alertmanager_is_told_when_it_is_over() -> None:
    (firing,), (over,) = json.loads(alertmanager_alerts(EVENT)), json.loads(alertmanager_alerts(_over(EVENT)))
    assert firing["endsAt"] == "2026-01-12T12:00:00Z"
    assert over["endsAt"] == "2026-01-05T15:00:00Z"
    webhook = json.loads(alertmanager_webhook(_over(EVENT), receiver="team"))
    assert (webhook["version"], webhook["status"], webhook["receiver"]) == ("4", "resolved", "team")
    assert webhook["alerts"][0]["endsAt"] == "2026-01-05T15:00:00Z"
    assert json.loads(alertmanager_webhook(EVENT, receiver="team"))["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"


def test_all_that_is_said_of_an_alert_goes_to_one_incident_and_one_finding() -> None:
    first, last = (json.loads(pagerduty(event, routing_key="k")) for event in (EVENT, _over(EVENT)))
    assert first["dedup_key"] == last["dedup_key"]
    assert set(last) == {"routing_key", "event_action", "dedup_key"}
    first, last = (json.loads(ocsf(event, version="1")) for event in (EVENT, _over(EVENT)))
    assert first["finding_info"]["uid"] == last["finding_info"]["uid"]
    assert first["metadata"]["uid"] != last["metadata"]["uid"]


def group_of(events: list[AlertBody]) -> str:
    return group_body(events, group="rule=x", group_id="grp_1", seq=0, now=events[0].timestamp).decode()


@given(st.lists(EVENTS, min_size=1, max_size=60))
def test_a_group_says_how_many_and_shows_the_worst(events: list[AlertBody]) -> None:
    group = read_group(group_of(events))
    assert group is not None
    data = group.data
    assert (data.count, data.firing + data.resolved) == (len(events), len(events))
    assert data.truncated == max(0, len(events) - MAX_GROUPED)
    severities = [SEVERITIES.index(event.data.severity) for event in data.alerts]
    assert severities == sorted(severities, reverse=True)


@given(st.lists(EVENTS, min_size=1, max_size=60))
def test_slack_takes_a_group_within_its_limits(events: list[AlertBody]) -> None:
    body = json.loads(rendered(group_of(events), "slack", endpoint="e", routing_key="", version="1"))
    assert len(body["blocks"]) <= 50
    for block in body["blocks"]:
        assert 0 < len(block["text"]["text"]) <= (150 if block["text"]["type"] == "plain_text" else 3000)
        if block["text"]["type"] == "mrkdwn":
            assert "<" not in block["text"]["text"]


def test_a_group_fires_while_one_of_it_does() -> None:
    events = [
        AlertBody("alert.resolved", BODY_VERSION, NOW, msgspec.structs.replace(DATA, alert_id="a", rule="r")),
        AlertBody("alert.opened", BODY_VERSION, NOW, msgspec.structs.replace(DATA, alert_id="b", rule="r")),
    ]
    body = json.loads(rendered(group_of(events), "alertmanager-webhook", endpoint="e", routing_key="", version="1"))
    assert body["status"] == "firing"
    assert sorted(alert["status"] for alert in body["alerts"]) == ["firing", "resolved"]
    assert body["commonLabels"]["alertname"] == "r"
    assert "alert_id" not in body["commonLabels"]


@given(EVENTS)
def test_native_bodies_are_as_the_published_schema_says(event: AlertBody) -> None:
    SCHEMA.validate(json.loads(native(event)))
    SCHEMA.validate(json.loads(group_of([event])))


def test_the_published_schema_refuses_what_it_does_not_know() -> None:
    body = json.loads(native(AlertBody("alert.opened", BODY_VERSION, NOW, DATA)))
    for wrong in (body | {"type": "alert.lost"}, {key: body[key] for key in body if key != "data"}):
        with pytest.raises(jsonschema.ValidationError):
            SCHEMA.validate(wrong)


def test_the_pages_show_what_is_sent() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "scripts/gen_body_docs.py", "--check"],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{done.stdout}: make docs"
