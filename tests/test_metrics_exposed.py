"""ingest and worker show their metrics over HTTP where they are told to."""

import socket

import httpx
import pytest

from pipeline.config import load
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics, expose


def test_metrics_are_readable_over_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    metrics = Metrics()
    metrics.count("ingest_events", 3, format="native")
    expose(metrics, f"127.0.0.1:{port}")
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'stillwatch_ingest_events_total{format="native"} 3.0' in text


def test_a_taken_port_is_named() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"metrics\.listen 127\.0\.0\.1:\d+: .*in use"),
    ):
        expose(Metrics(), f"127.0.0.1:{taken.getsockname()[1]}")


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.listen: 'localhost' is not host:port"):
        load(environ={"STILLWATCH_METRICS__LISTEN": "localhost"})
