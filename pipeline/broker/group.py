"""What a broker says about a consumer group: which partitions of a topic nobody in it reads."""

from __future__ import annotations

from pipeline.broker.probe import admin_client
from pipeline.config import Settings

SETTLED = frozenset({"Stable", "Empty", "Dead"})  # DescribeGroups' words; in between, a rebalance is under way


def unheld(settings: Settings, group: str, topic: str) -> frozenset[int] | None:
    """Partitions of the topic that no member holds; none while the group rebalances.

    Returns:
        None where the broker does not tell: Tansu 0.6.0 answers with what kafka-python cannot read.

    Raises:
        BrokerUnavailableError: nobody answered.
    """
    with admin_client(settings) as client:
        [described] = client.describe_topics([topic])
        every = frozenset(one["partition_index"] for one in described["partitions"])
        try:
            found = client.describe_groups([group])[group]
        except ValueError:
            return None
    if found["group_state"] not in SETTLED:
        return frozenset()
    held = {
        number
        for member in found["members"]
        for assigned in (member["member_assignment"] or {}).get("assigned_partitions", ())
        if assigned["topic"] == topic
        for number in assigned["partitions"]
    }
    return every - held
