"""Traffic to a file or a topic, with the truth and the accounts' facts beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.config import Settings
from pipeline.simulate.generate import Simulation


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the traffic."""

    truth: Path
    accounts: Path

    def __str__(self) -> str:
        return f"truth: {self.truth}; account facts: {self.accounts}"

    def named(self) -> dict[str, str]:
        """For programs."""
        return {"truth": str(self.truth), "accounts": str(self.accounts)}


def write_simulation(planned: Simulation, out: Path) -> None:
    """Write the traffic as NDJSON, replacing what is there. OSError comes from the disk."""
    with out.open("wb") as file:
        for chunk in planned.chunks():
            file.write(chunk.ndjson())


def write_truth(planned: Simulation, out: Path) -> Beside:
    """Write truth.json and accounts.ndjson, named after the file of the traffic. OSError comes from the disk."""
    beside = Beside(out.with_name(out.stem + ".truth.json"), out.with_name(out.stem + ".accounts.ndjson"))
    planned.truth.write(beside.truth)
    beside.accounts.write_bytes(planned.facts_ndjson())
    return beside


def send_simulation(
    planned: Simulation, settings: Settings, *, progress: Callable[[int, int], None] | None = None
) -> int:
    """Send facts to ``topics.accounts``, then the traffic to ``topics.requests``; return messages of it confirmed.

    Raises:
        BrokerUnavailableError: nobody answers.
        ProduceError: the broker did not take one; what was confirmed before is there.
    """
    from pipeline.broker import ensure_topics  # noqa: PLC0415 - files need no Kafka client
    from pipeline.ingest.produce import open_sender  # noqa: PLC0415

    ensure_topics(settings)
    with open_sender(settings, topic=settings.topics.accounts) as sender:
        for line in planned.facts_ndjson().splitlines():
            account: str = msgspec.json.decode(line)["account_id"]
            sender.send(line, [], key=account.encode())
        sender.settle()
    with open_sender(settings) as sender:
        for chunk in planned.chunks():
            for message in chunk.messages():
                sender.send(message, [])
            if progress is not None:
                progress(sender.confirmed, planned.truth.messages)
        sender.settle()
        return sender.confirmed
