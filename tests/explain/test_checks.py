"""Innocent explanations of one account's manner of use: each verdict from what is known, nothing guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.explain.checks import account_checks
from pipeline.explain.model import Known, Signal

SEEN = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def known(*, age_days: float | None = None, end_users: int = 0) -> Known:
    created = None if age_days is None else SEEN - timedelta(days=age_days)
    told = dict.fromkeys(
        ("plan", "quota", "payment_hash", "email_domain", "organisation", "country", "status", "said_reason"), None
    )
    judged = dict.fromkeys(
        ("cleared_until", "score", "named", "campaign_id", "cleared_reason", "population", "e_value", "heavy"), None
    )
    return Known(
        account_id="a",
        created_at=created,
        first_seen=SEEN,
        last_seen=SEEN + HOUR,
        events=100,
        errors=0,
        refused=0,
        input_tokens=1,
        output_tokens=1,
        evidence_from=SEEN,
        evidence_to=SEEN + HOUR,
        end_users=end_users,
        **told,
        **judged,
    )


def signal(rule_id: str, evidence: str, group_key: str = "account:a") -> Signal:
    return Signal(rule_id, evidence, group_key, 0.2, "", None, SEEN, SEEN + HOUR, SEEN, SEEN + HOUR, True, True, False)


@pytest.mark.parametrize(("end_users", "verdict"), [(0, "not checked"), (3, "undecided"), (400, "fits")])
def test_a_key_used_from_everywhere_may_be_a_gateways(end_users: int, verdict: str) -> None:
    [check] = account_checks(known(end_users=end_users), [signal("many_networks", "infrastructure")], [])
    assert check.verdict == verdict
    assert "end users" in check.facts


@pytest.mark.parametrize(("age_days", "verdict"), [(None, "not checked"), (2, "undecided"), (300, "fits")])
def test_who_collects_answers_may_measure_a_model(age_days: float | None, verdict: str) -> None:
    [check] = account_checks(known(age_days=age_days), [signal("sampling_profile", "usage")], [])
    assert check.verdict == verdict


@pytest.mark.parametrize(("group_key", "verdict"), [("account:a", "fits"), ("outputs_of:b", "undecided")])
def test_answers_that_come_back_may_be_steps_of_one_application(group_key: str, verdict: str) -> None:
    [check] = account_checks(known(), [signal("outputs_fed_back", "content", group_key)], [])
    assert check.verdict == verdict


def test_nothing_is_explained_that_was_not_seen() -> None:
    assert list(account_checks(known(end_users=400), [signal("shared_prompt", "likeness", "template:x")], [])) == []
