"""From an event's sending to its alert at a receiver, at a steady rate: `python -m benchmarks.webhooks`.

Ten times a second one event of an account of its own goes out among the others. Two rules match those accounts: one
that is looked at in between (`live`), one that waits for its minute. Each account's alert is a signed webhook of its
own to a real receiver. All shipped rules run too. Apache Kafka, sender, receiver and stages share the machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import SecretStr

from benchmarks.__main__ import DEFAULTS
from benchmarks.stages import serve_answers
from benchmarks.visible import PROBED, STARTING_S, SteadySender, all_are_active, few_are_busy
from pipeline.delivery.receiver import Received, Receiver
from pipeline.delivery.signing import new_secret
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

GIVE_UP_AFTER_S: Final = 180.0
RULES: Final = {"benchmark_live": True, "benchmark_each_minute": False}
_SQL: Final = f"""
select
    'account' as dimension,
    entity_id,
    entity_id as account_id,
    'account:' || entity_id as group_key,
    0.9 as strength,
    'It is waited for.' as reason,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from fingerprints_1m
where
    kind = 'account'
    and window_start >= $since::timestamptz
    and window_start < $until::timestamptz
    and entity_id >= 'acct_{PROBED:08d}'
group by entity_id
"""
_YML: Final = """
title: An account that the benchmark waits for
description: It is waited for.
severity: low
evidence: unscored
dimension: account
window: 1h
hop: 30m
every: 1m
live: {live}
alert: match
alert_at: 0.5
references: ["none"]
false_positives: [none]
runbook: [none]
tests:
  - name: it fires
    rows: [{{event: {{account_id: acct_99999999}}}}]
    expect: {{accounts: 1}}
  - name: it does not
    rows: [{{event: {{account_id: acct_00000001}}}}]
    expect: {{accounts: 0}}
"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Seconds from sending an event to its alert at the receiver."""

    rule: str
    who: str
    events_per_s: float
    alerts: int
    p50_s: float
    p99_s: float
    longest_s: float


def main() -> None:
    """Run it; print a line a rule and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--who", choices=("few_are_busy", "all_are_active"), default="few_are_busy")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in ("kafka", "pipeline", "rules"):
            (directory / part).mkdir()
        for rule, live in RULES.items():
            (directory / "rules" / f"{rule}.sql").write_text(_SQL)
            (directory / "rules" / f"{rule}.yml").write_text(_YML.format(live=str(live).lower()))
        kafka = KafkaServer(directory / "kafka")
        kafka.start()
        try:
            found = measure(kafka, directory, asked.rate, asked.seconds, asked.who)
        finally:
            kafka.stop()
    for one in found:
        print(
            f"event → webhook  {one.rule:<22} p50 {one.p50_s:.2f} s  p99 {one.p99_s:.2f} s  longest "
            f"{one.longest_s:.2f} s  of {one.alerts} alerts at {one.events_per_s:,.0f} events/s, {one.who}"
        )
    print(f"webhooks: {json.dumps([asdict(one) for one in found])}")


def measure(kafka: KafkaServer, directory: Path, rate: int, seconds: int, who: str) -> list[Arrived]:
    """Send, and wait for every alert."""
    came_s: dict[tuple[str, str], float] = {}
    came = threading.Condition()

    def note(message: Received) -> None:
        data = (message.payload or {}).get("data", {})
        if data.get("rule") in RULES:
            with came:
                came_s.setdefault((data["rule"], data["account_ids"][0]), time.monotonic())
                came.notify_all()

    secret = new_secret()
    with Receiver(SecretStr(secret), on_message=note) as receiver:
        extra = {
            **DEFAULTS,
            "STILLWATCH_WEBHOOK__URL": receiver.url,
            "STILLWATCH_WEBHOOK__SECRET": secret,
            "STILLWATCH_WEBHOOK__ALLOW_HTTP": "true",
            "STILLWATCH_WEBHOOK__ALLOW": '["127.0.0.1"]',
            "STILLWATCH_RULES__DIRECTORY": str(directory / "rules"),
        }
        pipeline = Pipeline(kafka.bootstrap, directory / "pipeline", "webhooks", extra=extra)
        try:
            pipeline.spawn("serve")
            serve_answers(pipeline)
            for name in ("ingest", "worker"):
                pipeline.spawn(name)
            chosen = {"few_are_busy": few_are_busy, "all_are_active": all_are_active}[who]
            sender = SteadySender(pipeline, rate, seconds, chosen)
            begun_s = time.monotonic()
            sender.run()
            expected = len(RULES) * len(sender.sent_s)
            with came:
                if not came.wait_for(lambda: len(came_s) >= expected, GIVE_UP_AFTER_S):
                    raise SystemExit(f"{len(came_s)} of {expected} alerts came\n{pipeline.log('serve')}")
        finally:
            pipeline.close()
    found = []
    for rule in RULES:
        steady = [
            at_s - sender.sent_s[account]
            for (of, account), at_s in came_s.items()
            if of == rule and sender.sent_s[account] >= begun_s + STARTING_S
        ]
        p50_s, p99_s = np.quantile(steady, [0.5, 0.99])
        rate_seen = rate * seconds / sender.took_s
        found.append(Arrived(rule, who, rate_seen, len(steady), float(p50_s), float(p99_s), max(steady)))
    return found


if __name__ == "__main__":
    main()
