"""Input for the exactly-once tests, and the oracle that reads it once. Shares no code with the pipeline on purpose."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

Sums = tuple[int, int, int]  # events, input tokens, output tokens


@dataclass(slots=True)
class Traffic:
    """Messages for the raw topic: single events, packed ones, retries with the same id, and messages that are broken.

    Everything made is remembered, so that the oracle counts what was sent and nothing else.
    """

    seed: int
    accounts: int = 200
    step_s: float = 0.02  # how far event time moves on with each event: nothing may be sent from the future
    start: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=20))
    expected: Counter[tuple[str, datetime, str]] = field(default_factory=Counter)
    items: int = 0
    duplicates: int = 0
    broken: int = 0
    _random: random.Random = field(init=False)
    _recent: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def messages(self, count: int) -> Iterator[bytes]:
        """Make the next ``count`` messages."""
        for _ in range(count):
            kind = self._random.random()
            if kind < 0.02:
                yield self._break()
            elif kind < 0.04 and self._recent:
                self.items += 1
                self.duplicates += 1
                yield json.dumps(self._random.choice(self._recent)).encode()
            elif kind < 0.10:
                yield b"\n".join(json.dumps(self._event()).encode() for _ in range(self._random.randint(2, 30)))
            else:
                yield json.dumps(self._event()).encode()

    def sums(self) -> dict[tuple[str, datetime], Sums]:
        """What the store must hold: events, input and output tokens by (account, pane)."""
        keys = {(account, pane) for account, pane, _ in self.expected}
        return {
            key: (self.expected[*key, "events"], self.expected[*key, "input"], self.expected[*key, "output"])
            for key in keys
        }

    def _event(self) -> dict[str, object]:
        # Time moves on a little with each event; some are minutes late, as a slow gateway's are.
        late = 180.0 if self._random.random() < 0.02 else 0.0
        when = self.start + timedelta(seconds=self.items * self.step_s + self._random.random() - late)
        account = f"acct_{self._random.randrange(self.accounts):04d}"
        tokens = self._random.randrange(4000), self._random.randrange(1000)
        event: dict[str, object] = {
            "event_id": f"evt-{self.seed}-{self.items:08d}",
            "timestamp": when.isoformat(),
            "account_id": account,
            "api_key_id": f"key_{account}",
            "model": "m-1",
            "status": 200,
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "ip": f"203.0.113.{self._random.randrange(200)}",
            "prompt": f"Summarise the text number {self.items}, please.",
        }
        self.items += 1
        pane = when.replace(second=0, microsecond=0)
        self.expected[account, pane, "events"] += 1
        self.expected[account, pane, "input"] += tokens[0]
        self.expected[account, pane, "output"] += tokens[1]
        self._recent = [*self._recent[-50:], event]
        return event

    def _break(self) -> bytes:
        self.items += 1
        self.broken += 1
        return self._random.choice(
            [
                b'{"event_id": "x", ',
                b"\xff\xfe\x00",
                b'{"event_id":"no-account","timestamp":1767225600,"model":"m"}',
                b"[1",
            ]
        )
