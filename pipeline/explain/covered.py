"""What an explanation says of known sets, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of a known set the account sent in the span. ``in_order``: rank correlation of item and time."""

    corpus: str
    findable: int
    items: int
    estimated_items: float
    requests: int
    all_requests: int
    in_order: float | None
    first_seen: datetime
    last_seen: datetime
