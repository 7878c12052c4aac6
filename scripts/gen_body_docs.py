"""Writes a page with samples for each body of an alert, docs/bodies, and the JSON Schema of the native one.

``--check`` changes nothing and exits 1 when a file is not current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from pipeline import __version__
from pipeline.delivery.bodies import (
    BODY_VERSION,
    MAX_GROUPED,
    AlertBody,
    AlertData,
    EventType,
    Format,
    GroupBody,
    group_body,
    native,
    rendered,
)
from pipeline.delivery.cloudevents import http_headers, kafka_headers
from pipeline.delivery.endpoints import CLOUDEVENTS, GROUPS, SIGNED

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
SCHEMA: Final = DOCS / "bodies" / f"webhook-{BODY_VERSION}.schema.json"
NOW: Final = datetime(2026, 3, 2, 9, 31, 7, tzinfo=UTC)
SAMPLE: Final = AlertData(
    alert_id="alt_5e6c01d1f6a3b2c4",
    seq=0,
    rule="campaign",
    severity="high",
    state="firing",
    campaign_id="cmp_0b1c2d3e4f506172",
    title="42 accounts act as one",
    summary="42 accounts are named, with a mean score of 0.95. One prompt is sent by 42 customers who share payments.",
    score=0.951234,
    accounts=42,
    account_ids=["acct_0017", "acct_0031"],
    account_ids_truncated=True,
    reasons=["One prompt is sent by 42 customers who share payments.", "A closed loop of 64 workers."],
    evidence_sql="select * from suspicious_accounts where campaign_id = 'cmp_0b1c2d3e4f506172'",
    first_seen=datetime(2026, 3, 1, 22, 4, tzinfo=UTC),
    last_seen=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
)
ABOUT: Final[dict[Format, tuple[str, str]]] = {
    "native": (
        "Native",
        (
            "Standard Webhooks 1.0 in Stillwatch's own words, version 1; "
            f"[{SCHEMA.name}]({SCHEMA.name}) is its JSON Schema. Fields may be added within a "
            "version, none is taken away. Texts are at most 2,000 characters, `account_ids` lists 20 and "
            "`account_ids_truncated` says whether there are more. `evidence_sql` goes into `stillwatch sql` as it "
            "is."
        ),
    ),
    "topic": (
        "A topic of the broker",
        (
            'With `topics.alerts = "stillwatch.alerts"` each message goes to that topic too: the native body, '
            "keyed by `alert_id`, so that what is said of one alert stays in order; the header `webhook-id` is "
            "the same on every try. At least once: remember ids."
        ),
    ),
    "slack": (
        "Slack",
        (
            "An incoming webhook's message in blocks. &, < and > are escaped, so that nothing from data becomes a "
            "link or a mention. Limits kept: 150 characters of a header, 3,000 of a section, 50 blocks; a group "
            "lists 40 alerts."
        ),
    ),
    "pagerduty": (
        "PagerDuty",
        (
            "Events API v2. The endpoint's secret is the integration's routing key and stands in the body. The "
            "alert's id is the `dedup_key`: all that is said of one alert is one incident, triggered, "
            "acknowledged, resolved. The summary is cut at 1,024 characters and says so."
        ),
    ),
    "alertmanager": (
        "Alertmanager's API",
        (
            "What `POST /api/v2/alerts` of a Prometheus Alertmanager takes; give that address. It ends when we "
            "say so or seven days after the last word. Labels never change while it lasts, so the severity is an "
            "annotation."
        ),
    ),
    "alertmanager-webhook": (
        "As Alertmanager sends",
        (
            "The webhook (version 4) that Alertmanager sends to others, for receivers that know it, signed like "
            "the native one."
        ),
    ),
    "ocsf": (
        "OCSF",
        ("A Detection Finding (class 2004) of OCSF 1.4.0, one `finding_info.uid` an alert: created, updated, closed."),
    ),
}


def bodies() -> Iterator[tuple[EventType, AlertData]]:
    """One alert's life."""
    yield "alert.opened", SAMPLE
    yield "alert.acknowledged", msgspec.structs.replace(SAMPLE, seq=1, state="acknowledged")
    yield "alert.resolved", msgspec.structs.replace(SAMPLE, seq=2, state="resolved")


def sample(form: Format, body: str) -> str:
    """As a receiver gets it, for people."""
    sent = rendered(body, form, endpoint="team", routing_key="R0123456789ABCDEF0123456789ABCDEF", version=__version__)
    return json.dumps(json.loads(sent), indent=2, ensure_ascii=False)


def headers(form: Format) -> list[str]:
    """Those of a CloudEvent, as they are sent."""
    body = native(AlertBody("alert.opened", BODY_VERSION, NOW, SAMPLE)).decode()
    if form == "topic":
        return [f"{name}: {value.decode()}" for name, value in kafka_headers("msg_2b1c0d9e8f7a6b5c", body)]
    return [f"{name}: {value}" for name, value in http_headers("msg_2b1c0d9e8f7a6b5c", body).items()]


def page(form: Format) -> str:
    """All about one format."""
    title, text = ABOUT[form]
    lines = [f"# {title}", "", f"Format `{form}`. Written by `make docs`: the samples are what is sent.", "", text, ""]
    signed = "Signed by Standard Webhooks: see [alerts.md](../alerts.md#delivery)." if form in SIGNED else ""
    grouped = (
        f"Takes several alerts in one message where the endpoint has `group_by`, the worst {MAX_GROUPED} in full."
        if form in GROUPS
        else ""
    )
    lines += [" ".join(part for part in (signed, grouped) if part), ""] if signed or grouped else []
    if form in CLOUDEVENTS:
        lines += ["Its headers make it a CloudEvent 1.0 in binary mode as well, the same on every try:", ""]
        lines += ["```text", *headers(form), "```", ""]
    for kind, data in bodies():
        body = native(AlertBody(kind, BODY_VERSION, NOW, data)).decode()
        lines += [f"## {kind}", "", "```json", sample(form, body), "```", ""]
    if form in GROUPS:
        events = [AlertBody(kind, BODY_VERSION, NOW, data) for kind, data in list(bodies())[:1]]
        events += [
            AlertBody(
                "alert.resolved", BODY_VERSION, NOW, msgspec.structs.replace(SAMPLE, alert_id="alt_7d0f9a8b7c6d5e4f")
            )
        ]
        body = group_body(events, group="rule=campaign", group_id="grp_1a2b3c4d5e6f7081", seq=0, now=NOW).decode()
        lines += ["## alerts.grouped", "", "```json", sample(form, body), "```", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def schema() -> str:
    """The native bodies: of one alert, of several."""
    _, components = msgspec.json.schema_components([AlertBody, GroupBody], ref_template="#/$defs/{name}")
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Stillwatch webhook, version {BODY_VERSION}",
        "oneOf": [{"$ref": "#/$defs/AlertBody"}, {"$ref": "#/$defs/GroupBody"}],
        "$defs": components,
    }
    return json.dumps(found, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only compare."""
    pages = {DOCS / "bodies" / f"{form}.md": page(form) for form in ABOUT} | {SCHEMA: schema()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(pages[path], encoding="utf-8")
    print("\n".join(path.relative_to(DOCS.parent).as_posix() for path in stale) or "docs/bodies is current")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
