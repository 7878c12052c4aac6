"""`account_rows` adds up to what `account_hours` says, wherever a window ends and whatever of it is folded."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache

import pytest

from pipeline.fingerprint.schema import Delta
from pipeline.store import apply_deltas, fold
from tests.store.made import START, Event, apart, memory_store, rows

COUNTS = (
    "events",
    "refused",
    "input_tokens",
    "output_tokens",
    "single_turn",
    "tool_events",
    "sampled_n",
    "logprobs",
    "seeded",
    "capped",
)
SHOWN = f"account_id, window_start, {', '.join(COUNTS)}, prompt_sketch, first_seen, last_seen"
ADDED = f"""
    account_id, window_start, {", ".join(f"sum({name})::bigint" for name in COUNTS)},
    sketch_merge(flatten(list(prompt_sketch))), min(first_seen), max(last_seen)
"""

WINDOWS = ((0, 14400), (1800, 9000), (3600, 7201), (3599, 7199), (7200, 7200))


@cache
def _deltas() -> list[Delta]:
    """Two tell of each minute: what is stored of an hour is many rows, of which some are folded."""
    drawn = random.Random(7)
    events = sorted(
        (Event(f"a{drawn.randrange(5)}", drawn.randrange(4 * 3600), tokens=drawn.randrange(300)) for _ in range(900)),
        key=lambda event: event.at_s,
    )
    return apart(events, 3600)


@pytest.mark.parametrize("folded_s", [0, 5400, 9000, 16000])
def test_the_rows_of_an_hour_add_up(folded_s: int) -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            apply_deltas(tx, _deltas())
            fold(tx, watermark=START + timedelta(seconds=folded_s))
        assert (rows(store, "select count(*) from hour")[0][0] > 0) == (folded_s > 0)
        for begin_s, end_s in WINDOWS:
            begin, end = (START + timedelta(seconds=at) for at in (begin_s, end_s))
            stored = rows(store, f"select count(*) from account_rows('{begin}', '{end}')")[0][0]
            found = rows(store, f"select {ADDED} from account_rows('{begin}', '{end}') group by all order by all")
            wanted = rows(store, f"select {SHOWN} from account_hours('{begin}', '{end}') order by all")
            assert found == wanted
            assert (len(wanted) > 0) == (begin_s < end_s)
            assert stored > len(wanted) or folded_s >= 9000 or not wanted
