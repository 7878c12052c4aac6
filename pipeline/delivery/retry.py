"""When to try again: the schedule of Standard Webhooks, with jitter, and what an answer means."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal

Verdict = Literal["delivered", "retry", "failed", "gone"]

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
# Seconds from one try to the next; the first try is at once.
SCHEDULE_S: Final = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
MAX_RETRY_AFTER_S: Final = 24 * _HOUR
JITTER: Final = 0.5  # of a wait, either way
LONGEST_WAIT: Final = timedelta(seconds=max(MAX_RETRY_AFTER_S, SCHEDULE_S[-1] * (1 + JITTER)))
_PASSING: Final = frozenset({408, 425, 429})


def verdict(status: int) -> Verdict:
    """What a status says: only 2xx is success; a redirect is a failure that may pass, since it is never followed."""
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    if status in _PASSING or status >= 500 or 300 <= status < 400:
        return "retry"
    return "failed"


def next_attempt(attempts: int, now: datetime, retry_after_s: float | None, rng: random.Random) -> datetime | None:
    """When to try again after ``attempts`` tries; None: never, the schedule is used up.

    Each wait is drawn evenly between half and one and a half of it, so that what failed together does not come back
    together. (From nothing to all of it, "full jitter", would use the schedule up in half of its time on average, and
    a receiver that is down for a day would lose messages.) A receiver's Retry-After is a lower bound.
    """
    if attempts > len(SCHEDULE_S):
        return None
    wait_s = SCHEDULE_S[attempts - 1]
    wait_s *= 1 + JITTER * (2 * rng.random() - 1)
    return now + timedelta(seconds=max(wait_s, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)))


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that Retry-After asks for, written as a number or as a date; None: nothing usable."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
