"""Accounts of which little is known, and what their age is counted from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pipeline.clock import ManualClock
from pipeline.serve.facts import import_facts
from tests.explain.conftest import AFTER
from tests.explain.test_explain import SETTINGS, Analyzed, account, shown


def test_an_account_with_one_event(analyzed: Analyzed) -> None:
    found = account(analyzed[0], "lone")
    assert found.signals == []
    assert found.account.score is None
    assert found.verdict == "No rule has a signal against this account: nothing was found."
    assert any("1 requests" in line for line in found.more_data)
    text, page = shown(found)
    assert "nothing" in text
    assert [tag for tag, _ in page.elements].count("rect") == 1


def test_an_account_of_which_only_facts_are_known(store: Path) -> None:
    import_facts(store, [{"account_id": "silent", "plan": "pro"}], SETTINGS, clock=ManualClock(AFTER))
    found = account(store, "silent")
    assert (found.timeline, found.rate, found.things) == (None, None, [])
    assert "No requests are kept" in shown(found)[1].text


def test_ages_are_counted_from_requests_and_not_from_now(analyzed: Analyzed) -> None:
    store, planted = analyzed
    found = account(store, min(planted))
    assert found.account.created_at is not None
    assert found.account.first_seen is not None
    days = (found.account.first_seen - found.account.created_at) / timedelta(days=1)
    assert any(f"{days:.1f} days old" in check.facts for check in found.checks)
