"""A real Alertmanager (Debian's package) takes what we push, as one alert while it lasts, and knows when it is over."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from pipeline.clock import SystemClock
from pipeline.delivery.bodies import BODY_VERSION, AlertBody, EventType, native
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint
from pipeline.delivery.outbox import DueMessage
from pipeline.delivery.sender import Sender
from pipeline.metrics import Metrics
from tests.delivery.test_bodies import DATA

BINARY = shutil.which("prometheus-alertmanager")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if BINARY is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI tests against a real Alertmanager → scripts/ci-packages.sh", pytrace=False)
        pytest.skip("no prometheus-alertmanager here: apt-get install prometheus-alertmanager")
    directory = tmp_path_factory.mktemp("alertmanager")
    (directory / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    port = free_port()
    command = [
        BINARY,
        f"--config.file={directory / 'config.yml'}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while not _ready(url):
                assert process.poll() is None, (directory / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield url
        finally:
            process.kill()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def push(url: str, kind: EventType, seq: int, now: datetime, **changed: Any) -> None:
    endpoint = Endpoint.model_validate({"url": f"{url}/api/v2/alerts", "format": "alertmanager"})
    data = msgspec.structs.replace(DATA, seq=seq, first_seen=now - timedelta(hours=1), last_seen=now, **changed)
    body = native(AlertBody(kind, BODY_VERSION, now, data)).decode()
    reach = Reach.of(["127.0.0.1"], http=True)
    with Sender("am", endpoint, reach, SystemClock(), Metrics()) as sender:
        [outcome] = sender.send([DueMessage(f"msg_{seq}", "am", body, 0)])
    assert (outcome.verdict, outcome.status) == ("delivered", 200), outcome


def held(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
    return found


def test_one_alert_while_it_lasts_and_none_when_it_is_over(alertmanager: str) -> None:
    now = datetime.now(UTC)
    push(alertmanager, "alert.opened", 0, now)
    [first] = held(alertmanager)
    assert first["labels"]["alertname"] == DATA.rule
    assert first["status"]["state"] in {"active", "unprocessed"}
    push(alertmanager, "alert.updated", 1, now, severity="critical", accounts=77, title='Grown, with "quotes" & <tags>')
    [grown] = held(alertmanager)
    assert grown["fingerprint"] == first["fingerprint"]
    assert grown["annotations"]["accounts"] == "77"
    push(alertmanager, "alert.resolved", 2, datetime.now(UTC))
    deadline = time.monotonic() + 10
    while held(alertmanager):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    push(alertmanager, "alert.reopened", 3, datetime.now(UTC))
    [again] = held(alertmanager)
    assert again["fingerprint"] == first["fingerprint"]
