"""What is tested of a store in memory holds in a DuckLake too: a chosen core. All of it: `make test-ducklake`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lakes.made import Lakes, in_place_of_memory
from tests.serve import test_step
from tests.store import test_apply, test_fold, test_inputs

pytestmark = pytest.mark.xdist_group("lakes")

CORE: tuple[Callable[[], None], ...] = (
    test_apply.test_what_is_applied_is_seen_at_every_level,
    test_apply.test_a_restarted_worker_rewrites_the_tail_with_other_boundaries,
    test_apply.test_a_transaction_that_fails_leaves_nothing,
    test_fold.test_folding_changes_nothing_that_is_seen,
    test_inputs.test_a_new_epoch_makes_everything_final,
    test_step.test_a_hole_is_counted_and_the_rest_is_applied,
)


@pytest.mark.parametrize("test", CORE, ids=lambda test: test.__name__)
def test_the_same_holds_in_a_lake(lakes: Lakes, test: Callable[[], None]) -> None:
    with in_place_of_memory(lakes):
        test()
