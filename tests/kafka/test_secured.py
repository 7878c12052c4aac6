"""Kafka with TLS, client certificates and SASL: every stage and every command through it, and how refusals are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.broker import check_broker
from pipeline.config import Settings
from pipeline.config.tree import KafkaSettings
from pipeline.errors import BrokerUnavailableError
from tests.kafka import certificates
from tests.kafka.certificates import Authority
from tests.kafka.server import KafkaServer, Secured

COMMAND = (sys.executable, "-m", "pipeline.cli")
USER, PASSWORD, KEY_PASSWORD = "stillwatch", "correct-horse-battery", "staple-of-the-key"

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secured(apache_kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A node of its own; the session's one says whether Apache Kafka can be had."""
    del apache_kafka
    reason = certificates.missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI tests TLS, but {reason}", pytrace=False)
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("secured")
    authority = Authority(directory)
    authority.make()
    server = KafkaServer(directory, Secured(authority, USER, PASSWORD))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def environ(secured: KafkaServer) -> Mapping[str, str]:
    """Settings as an operator gives them: secrets in files."""
    assert secured.secured is not None
    authority = secured.secured.authority
    certificate, key = authority.sign("client", password=KEY_PASSWORD)
    secrets = {"SASL_PASSWORD_FILE": PASSWORD, "SSL_KEY_PASSWORD_FILE": KEY_PASSWORD}
    for name, content in secrets.items():
        (secured.directory / name).write_text(content + "\n")
    kafka = {
        "BOOTSTRAP": secured.secured_bootstrap,
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "SASL_USERNAME": USER,
        "SSL_CAFILE": str(authority.ca),
        "SSL_CERTFILE": str(certificate),
        "SSL_KEYFILE": str(key),
        **{name: str(secured.directory / name) for name in secrets},
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STILLWATCH_", "KAFKA_"))}
    return clean | {f"STILLWATCH_KAFKA__{name}": value for name, value in kafka.items()}


def stillwatch(environ: Mapping[str, str], place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=place, env=dict(environ), capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_every_stage_and_command_goes_through_it(environ: Mapping[str, str], tmp_path: Path) -> None:
    made = json.loads(
        stillwatch(environ, tmp_path, "simulate", "benign", "--minutes", "1", "--out", "t.ndjson", "--json").stdout
    )
    services = dict(environ) | {"STILLWATCH_SERVE__LISTEN": "127.0.0.1:0"}
    with (
        (tmp_path / "up.log").open("wb") as log,
        subprocess.Popen([*COMMAND, "up"], cwd=tmp_path, env=services, stderr=log, stdin=subprocess.DEVNULL) as tree,
    ):
        try:
            sent = stillwatch(environ, tmp_path, "produce", "t.ndjson", "--json")
            assert json.loads(sent.stdout)["confirmed"] == made["messages"], sent.stderr
            pause = threading.Event()
            told: dict[str, int] = {}
            for _ in range(60):  # real processes over a real broker: there is no clock to move
                asked = stillwatch(
                    environ, tmp_path, "sql", "select sum(events + duplicates) as n from pipeline_health", "--json"
                )
                told = json.loads(asked.stdout)[0] if asked.returncode == 0 else {}
                if told.get("n") == made["messages"]:
                    break
                pause.wait(0.5)
            assert told.get("n") == made["messages"], (tmp_path / "up.log").read_text()
            findings = json.loads(stillwatch(environ, tmp_path, "doctor", "--json").stdout)
            states = {item["check"]: item["state"] for item in findings}
            assert (states["broker"], states["transactions"], states["topic"]) == ("ok", "ok", "ok")
        finally:
            tree.send_signal(signal.SIGTERM)
            assert tree.wait(60) == 0
    text = (tmp_path / "up.log").read_text()
    assert PASSWORD not in text
    assert KEY_PASSWORD not in text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_both_mechanisms_are_taken(environ: Mapping[str, str], mechanism: str) -> None:
    check_broker(_settings(environ, sasl_mechanism=mechanism))


def test_a_wrong_password_is_told_as_a_refusal(environ: Mapping[str, str]) -> None:
    with pytest.raises(
        BrokerUnavailableError, match=r"is reached and does not let us in → check kafka\.sasl_mechanism"
    ):
        check_broker(_settings(environ, sasl_password="wrong"), timeout_s=2)


def test_a_broker_that_nobody_vouches_for_is_told_as_that(environ: Mapping[str, str], tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    other.make()
    with pytest.raises(
        BrokerUnavailableError, match=r"its certificate: unable to get local issuer .* → .*kafka\.ssl_cafile"
    ):
        check_broker(_settings(environ, ssl_cafile=other.ca), timeout_s=2)


def test_a_missing_client_certificate_is_an_error_in_bounded_time(environ: Mapping[str, str]) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"does not let us in → .*kafka\.ssl_certfile"):
        check_broker(_settings(environ, ssl_certfile=None, ssl_keyfile=None), timeout_s=2)


def test_plain_text_to_a_listener_with_tls_is_an_error_in_bounded_time(environ: Mapping[str, str]) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"something listens there → check kafka\.security_protocol"):
        check_broker(_settings(environ, security_protocol="PLAINTEXT"), timeout_s=2)


def _settings(environ: Mapping[str, str], **changed: object) -> Settings:
    prefix = "STILLWATCH_KAFKA__"
    given = {name.removeprefix(prefix).lower(): value for name, value in environ.items() if name.startswith(prefix)}
    passwords = {"sasl_password": PASSWORD, "ssl_key_password": KEY_PASSWORD}
    return Settings(kafka=KafkaSettings.model_validate({**given, **passwords, **changed}))
