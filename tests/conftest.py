"""Brokers for every room's tests: `broker` is the embedded one and Apache Kafka in turn, `kafka` only the latter."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Protocol

import hypothesis
import pytest
import structlog

# Workers of pytest-xdist have a core each: with more threads Polars' small frames of tests take two thirds more CPU.
# What tests start as processes runs as shipped.
if "PYTEST_XDIST_WORKER" in os.environ and "POLARS_MAX_THREADS" not in os.environ:
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    assert pl.thread_pool_size() == 1
    del os.environ["POLARS_MAX_THREADS"]

from pipeline.broker import EmbeddedBroker
from tests.kafka.server import KafkaServer, fetch, missing
from tests.lakes.made import Lakes, in_place_of_memory, need

# Time is not asserted: an example that took long beside other tests failed as one that is slow.
hypothesis.settings.register_profile("no deadline", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("no deadline")


class HasBootstrap(Protocol):
    """What a test needs to know of a broker."""

    @property
    def bootstrap(self) -> str: ...


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long bytes make no name: workers compare names, and a compressed file says when it was made."""
    del config
    return argname if isinstance(val, bytes) and len(val) > 40 else None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts brokers and commands runs one at a time, in one worker with one broker; it mostly waits."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("broker", "kafka", "chaos", "docs")):
            item.add_marker(pytest.mark.xdist_group("one at a time"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """With a pytest that it does not know, pytest-xdist groups nothing and says nothing."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if lost:
            raise pytest.UsageError(f"pytest-xdist does not group {lost[0].nodeid}")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that ran inside a test leaves loggers to a stream that is gone with it: each test has its own."""
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One node for the whole session: use topics and groups of your own, and leave it running."""
    reason = missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI runs over Apache Kafka, but {reason}", pytrace=False)
        pytest.skip(f"no Apache Kafka: {reason}")
    fetch()
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session", autouse=True)
def store_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With TEST_STORE=sqlite or postgres, a store in memory is a fresh DuckLake: `make test-ducklake`."""
    kind = os.environ.get("TEST_STORE", "")
    if not kind:
        yield
        return
    need(kind)
    lakes = Lakes(kind, tmp_path_factory.mktemp("lakes"))
    try:
        with in_place_of_memory(lakes):
            yield
    finally:
        lakes.close()


@pytest.fixture
def kafka(apache_kafka: KafkaServer) -> KafkaServer:
    """The session's Apache Kafka node."""
    return apache_kafka


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole session."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> HasBootstrap:
    """Each broker in turn."""
    found: HasBootstrap = request.getfixturevalue("apache_kafka" if request.param == "apache" else "embedded_broker")
    return found
