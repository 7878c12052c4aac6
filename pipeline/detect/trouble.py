"""Rules that do not work: what an alert about the rules themselves is made of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.rules.run import Tx


@dataclass(frozen=True, slots=True)
class RuleTrouble:
    """One rule that failed when it last looked. ``off``: the breaker has it; it is tried again after a day."""

    rule_id: str
    state: Literal["failed", "off"]
    failures: int  # in a row
    reason: str
    last_failed_at: datetime  # wall time
    evaluated_until: datetime | None  # event time; what came after was not looked at


def rule_trouble(tx: Tx, rules: Collection[str]) -> list[RuleTrouble]:
    """Those of ``rules`` (ids) that do not work, as of the open transaction; empty once they work again.

    Rules that no longer run are passed over, whatever the store remembers of them.
    """
    rows = tx.execute(
        "select rule_id, status, failures, coalesce(last_error, ''), last_run_at, evaluated_until from rule_state "
        "where status <> 'ok' order by rule_id"
    ).fetchall()
    return [RuleTrouble(*row) for row in rows if row[0] in rules]
