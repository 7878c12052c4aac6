"""LiteLLM proxy → Kafka: sends every call's standard logging payload to Stillwatch's raw topic.

In the proxy's config.yaml: ``litellm_settings: {callbacks: stillwatch_callback.handler}``, this file beside it and
kafka-python installed. ``KAFKA_BOOTSTRAP`` and ``STILLWATCH_TOPICS__REQUESTS`` say where to.
"""

from __future__ import annotations

import asyncio
import json
import os
from functools import cached_property
from typing import Any

from kafka import KafkaProducer
from litellm.integrations.custom_logger import CustomLogger


class StillwatchLogger(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Fails no call and, in the proxy, holds none up: what Kafka does not take in time is dropped and logged."""

    topic = os.environ.get("STILLWATCH_TOPICS__REQUESTS", "api.requests")

    @cached_property
    def producer(self) -> Any:
        """Made at the first call: the proxy starts without Kafka."""
        return KafkaProducer(
            bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP", "127.0.0.1:9092").split(","),
            acks="all",
            linger_ms=50,
            max_block_ms=1000,
            compression_type="gzip",
        )

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A call that was answered."""
        self._send(kwargs)

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A call that failed: refused, limited, timed out."""
        self._send(kwargs)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """A call that was answered, in the proxy."""
        await asyncio.to_thread(self._send, kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """A call that failed, in the proxy."""
        await asyncio.to_thread(self._send, kwargs)

    def _send(self, kwargs: dict[str, Any]) -> None:
        payload = kwargs.get("standard_logging_object")
        if payload is not None:
            value = json.dumps(payload, default=str).encode()
            self.producer.send(self.topic, value=value, headers=[("stillwatch-format", b"litellm")])


handler = StillwatchLogger()
