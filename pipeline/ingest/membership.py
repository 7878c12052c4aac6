"""kafka-python's membership of a group, with what it forgets between two polls mended.

Each method is one mend of kafka-python 3.0.12, in the words of Kafka's own client where that has it; the tests force
each case over real brokers. They rest on names that are not public, so the tests are also what a new version of
kafka-python has to pass.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.coordinator.consumer import ConsumerCoordinator


class Membership(ConsumerCoordinator):  # type: ignore[misc] # kafka-python publishes no types
    """As ConsumerCoordinator. A consumer's own is turned into one; nothing is added to its state."""

    def need_rejoin(self) -> bool:
        """A join that was begun for other metadata is needed until it has ended (KAFKA-9815).

        What it was begun for is no longer to be seen once JoinGroup was answered: a poll whose time was up before
        SyncGroup was left a member behind that had no partitions, sent no heartbeats and never joined again.
        """
        needed = bool(super().need_rejoin())
        if needed:
            self.request_rejoin()
        return needed

    async def _on_join_prepare_async(self, *generation: Any, **limits: Any) -> None:
        """Let go of what is revoked: when it is assigned again, it is read from where it was committed.

        Else a partition that stays with a member goes on behind what was polled and not committed, which the member
        has dropped when it was told of the revocation.
        """
        try:
            await super()._on_join_prepare_async(*generation, **limits)
        finally:
            if self._rebalance_protocol == RebalanceProtocol.EAGER:
                self._subscription.assign_from_subscribed([])
                self._offset_fetch_futures.clear()  # what was asked before may be answered with what was true before
