"""What is stored about each rule: how far it has looked, what is dirty behind that, and how it fares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.rules.run import Tx


@dataclass(frozen=True, slots=True)
class RuleState:
    """One row of ``rule_state``."""

    evaluated_until: datetime | None = None
    dirty_since: datetime | None = None
    failures: int = 0


def read_states(tx: Tx) -> Mapping[str, RuleState]:
    """The state of every rule that has run."""
    rows = tx.execute(
        "select rule_id, evaluated_until, dirty_since, failures from rule_state order by rule_id"
    ).fetchall()
    return {row[0]: RuleState(*row[1:]) for row in rows}


def mark_dirty(tx: Tx, rule_id: str, since: datetime) -> None:
    """Remember that panes from ``since`` on changed behind the rule's back."""
    tx.execute(
        "update rule_state set dirty_since = least(coalesce(dirty_since, $since), $since) where rule_id = $rule",
        {"rule": rule_id, "since": since},
    )


def write_success(tx: Tx, rule_id: str, until: datetime, matches: int, now: datetime) -> None:
    """The rule has looked at everything before ``until``."""
    tx.execute("delete from rule_state where rule_id = $rule", {"rule": rule_id})
    tx.execute(
        "insert into rule_state (rule_id, evaluated_until, dirty_since, status, failures, last_error, matches, "
        "last_run_at) values ($rule, $until, null, 'ok', 0, null, $matches, $now)",
        {"rule": rule_id, "until": until, "matches": matches, "now": now},
    )


def write_passed(tx: Tx, rule_id: str, until: datetime) -> None:
    """There was nothing to look at before ``until``."""
    tx.execute(
        "update rule_state set evaluated_until = greatest(evaluated_until, $until), dirty_since = null "
        "where rule_id = $rule",
        {"rule": rule_id, "until": until},
    )


def write_failure(tx: Tx, rule_id: str, failures: int, error: str, now: datetime, *, off: bool = False) -> None:
    """The rule failed, or is off by now; how far it had looked before stays, so that it catches up once it works."""
    values = {"rule": rule_id, "status": "off" if off else "failed", "failures": failures, "error": error, "now": now}
    known = tx.execute("select count(*) from rule_state where rule_id = $rule", {"rule": rule_id}).fetchone()
    if known and known[0]:
        tx.execute(
            "update rule_state set status = $status, failures = $failures, last_error = $error, last_run_at = $now "
            "where rule_id = $rule",
            values,
        )
        return
    tx.execute(
        "insert into rule_state (rule_id, status, failures, last_error, matches, last_run_at) "
        "values ($rule, $status, $failures, $error, 0, $now)",
        values,
    )
