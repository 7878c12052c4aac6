"""One crowd has one name, whichever of the things that some of it share it was found by."""

from __future__ import annotations

import pytest

from pipeline.config import RuleSettings
from pipeline.rules.load import load_rules, override
from pipeline.testing import case_bench

RULE = load_rules(RuleSettings()).rules["shared_source"]
CASES = {case.name: case for case in RULE.meta.tests}


@pytest.mark.xdist_group("shared_source")
def test_a_pool_that_is_found_by_several_things_is_one() -> None:
    case = CASES["one data set shared out over forty accounts, of which some share a client, payments or a mail domain"]
    with case_bench(case) as bench:
        found = bench.evaluate(override(RULE, case.parameters))
    assert found["account_id"].n_unique() == case.expect.accounts
    assert found["group_key"].n_unique() == 1, found["group_key"].value_counts()
