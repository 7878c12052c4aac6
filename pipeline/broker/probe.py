"""Asks a broker what it is: whether it answers, has transactions, and which incarnation of a topic it holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from pipeline.broker.options import bootstrap_servers, kafka_options
from pipeline.broker.reach import why_unreached
from pipeline.config import Settings
from pipeline.errors import BrokerUnavailableError, InputNotFoundError

CHECK_TIMEOUT_S: Final = 5.0
NO_TOPIC_ID: Final = uuid.UUID(int=0)
# Tansu offers the requests of a transaction (22-28) and yet shows what was aborted to readers of committed records only
# (0.6.0). What it does not offer is to list transactions, which Apache Kafka has from 3.0 on.
LIST_TRANSACTIONS: Final = 66


@contextmanager
def admin_client(settings: Settings, *, timeout_s: float = CHECK_TIMEOUT_S) -> Iterator[KafkaAdminClient]:
    """An admin connection, closed at the end.

    Raises:
        BrokerUnavailableError: nobody answered within about ``timeout_s``, or we were refused.
    """
    client = None
    options = kafka_options(settings.kafka)
    options["request_timeout_ms"] = min(options["request_timeout_ms"], int(timeout_s * 1000))
    try:
        client = KafkaAdminClient(**options, bootstrap_timeout_ms=int(timeout_s * 1000))
        yield client
    except kafka_errors.KafkaError as error:
        raise unavailable(settings, error) from error
    except OSError as error:
        raise unavailable(settings, error) from error
    finally:
        if client is not None:
            client.close()


def unavailable(settings: Settings, error: BaseException) -> BrokerUnavailableError:
    """The error for a person, from a client's; looks at the addresses once more, which takes seconds."""
    where = ", ".join(bootstrap_servers(settings.kafka))
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError | kafka_errors.AuthorizationError):
        return BrokerUnavailableError(
            f"broker {where} refuses us: {error}", next_step="check kafka.sasl_* and the rights of this user"
        )
    found = why_unreached(settings.kafka)
    return BrokerUnavailableError(found.what, next_step=found.next_step)


def check_broker(settings: Settings, *, timeout_s: float = CHECK_TIMEOUT_S) -> None:
    """Return when a broker answers.

    Raises:
        BrokerUnavailableError: none did within about ``timeout_s``.
    """
    with admin_client(settings, timeout_s=timeout_s) as client:
        client.describe_cluster()


def has_transactions(settings: Settings) -> bool:
    """Whether transactions are to be used: as configured, or for ``auto`` as the broker says. May raise as above."""
    if settings.kafka.transactions != "auto":
        return settings.kafka.transactions == "on"
    with admin_client(settings) as client:
        offered = {int(key) for key in client.api_versions()}
    return LIST_TRANSACTIONS in offered


def topic_epoch(settings: Settings, topic: str) -> str:
    """An identity of this incarnation of a topic: a topic that was made anew, or a broker, gives another.

    Raises:
        InputNotFoundError: there is no such topic.
        BrokerUnavailableError: nobody answered.
    """
    with admin_client(settings) as client:
        [described] = client.describe_topics([topic])
        if described["error_code"]:
            raise InputNotFoundError(
                f"topic {topic} does not exist", next_step="create it, or set topics.create = true"
            )
        identity = uuid.UUID(str(described.get("topic_id") or NO_TOPIC_ID))
        if identity != NO_TOPIC_ID:
            return str(identity)
        return f"{client.describe_cluster()['cluster_id']}/{topic}"
