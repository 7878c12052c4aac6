"""The topics: created where they are missing, compared where they are there."""

from __future__ import annotations

from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from pipeline import logs
from pipeline.broker.probe import admin_client
from pipeline.config import Settings
from pipeline.config.tree import TopicSettings
from pipeline.errors import ConfigError, InputNotFoundError

COMPACTED: Final = {"cleanup.policy": "compact"}

log = logs.get("broker")


def ensure_topics(settings: Settings) -> dict[str, int]:
    """Make every topic that is missing; return partitions by topic. May be called again, and by several at once.

    Raises:
        InputNotFoundError: one is missing and ``topics.create`` is off.
        ConfigError: partition counts contradict each other, or the broker refuses to create a topic.
        BrokerUnavailableError: nobody answered.
    """
    topics = settings.topics
    with admin_client(settings) as client:
        found = partition_counts(client, topics)
        missing = [name for name in names(topics) if name not in found]
        if missing and not topics.create:
            raise InputNotFoundError(
                f"missing topics: {', '.join(missing)}", next_step="create them, or set topics.create = true"
            )
        if missing:
            # Deltas travel in the partition their events came from, so these two have the same count.
            alike = {topics.events, topics.fingerprints}
            like = next((found[name] for name in alike if name in found), topics.partitions)
            for name in missing:
                _create(client, topics, name, like if name in alike else topics.partitions)
            client.wait_for_topics(missing)
            found = partition_counts(client, topics)
    events, fingerprints = found[topics.events], found[topics.fingerprints]
    if events != fingerprints:
        raise ConfigError(
            f"{topics.events} has {events} partitions, {topics.fingerprints} {fingerprints}",
            next_step=f"give both the same count: add partitions to the smaller one, or delete {topics.fingerprints}",
        )
    return found


def names(topics: TopicSettings) -> tuple[str, ...]:
    """All five, and that of alerts where there is one."""
    of_alerts = () if topics.alerts is None else (topics.alerts,)
    return (topics.requests, topics.accounts, topics.events, topics.fingerprints, topics.dead_letter, *of_alerts)


def partition_counts(client: KafkaAdminClient, topics: TopicSettings) -> dict[str, int]:
    """Partitions of those that exist."""
    described: list[dict[str, Any]] = client.describe_topics(list(names(topics)))
    return {one["name"]: len(one["partitions"]) for one in described if not one["error_code"] and one["partitions"]}


def _create(client: KafkaAdminClient, topics: TopicSettings, name: str, partitions: int) -> None:
    options: dict[str, Any] = {"num_partitions": partitions, "replication_factor": topics.replication}
    if name == topics.accounts:
        options["configs"] = COMPACTED
    try:
        client.create_topics({name: options}, timeout_ms=10_000)
    except kafka_errors.TopicAlreadyExistsError:
        log.info("topic_exists", topic=name)  # another process was faster
    except (
        kafka_errors.InvalidReplicationFactorError,
        kafka_errors.InvalidTopicError,
        kafka_errors.PolicyViolationError,
        kafka_errors.AuthorizationError,
    ) as error:
        raise ConfigError(
            f"the broker does not create {name}: {error}",
            next_step="mend topics.*, or create it yourself and set topics.create = false",
        ) from error
    else:
        log.info("topic_created", topic=name, partitions=partitions, replication=topics.replication)
