"""What joins accounts and stands in no request: one source of prompts, a known set."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tests.explain.test_explain import Analyzed, account, ask, campaign


def test_what_stands_in_no_request_is_compared_by_who_has_signals_of_it(store: Path, analyzed: Analyzed) -> None:
    key, some = "source:client one/1", sorted(analyzed[1])[:12]
    with duckdb.connect(str(store)) as connection:
        connection.execute(
            "insert into signal by name select * replace ($key as group_key, 'shared_source' as rule_id) from signal"
            " where account_id in (select unnest($some)) qualify row_number() over (partition by account_id) = 1",
            {"key": key, "some": some},
        )
        connection.execute(
            "insert into campaign_key by name select * replace ($key as group_key) from campaign_key limit 1",
            {"key": key},
        )
    [(one,)] = ask(store, "select campaign_id from campaigns")
    for found in (campaign(store, one), account(store, some[0])):
        [crowd] = [crowd for crowd in found.crowds if crowd.group_key == key]
        assert (crowd.accounts, crowd.known_age, crowd.devoted) == (12, 12, 12)
        assert {check.about for check in found.checks} >= {key}
    assert [crowd for crowd in account(store, sorted(analyzed[1])[12]).crowds if crowd.group_key == key] == []
