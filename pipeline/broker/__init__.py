"""The broker: how to reach it, its topics, what it can do, and one that needs nothing but Python."""

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.group import unheld
from pipeline.broker.options import faust_broker, kafka_options
from pipeline.broker.probe import check_broker, has_transactions, topic_epoch
from pipeline.broker.topics import ensure_topics

__all__ = [
    "EmbeddedBroker",
    "check_broker",
    "ensure_topics",
    "faust_broker",
    "has_transactions",
    "kafka_options",
    "topic_epoch",
    "unheld",
]
