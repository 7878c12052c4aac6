"""`account_rows` adds up to what `account_hours` says, wherever a window ends and whatever of it is folded."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from pipeline.store import apply_deltas, fold
from tests.store.made import START, Event, delta, memory_store, rows

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


@pytest.mark.parametrize("folded_s", [0, 5400, 9000, 16000])
@pytest.mark.parametrize("window_s", [(0, 14400), (1800, 9000), (3600, 7201), (3599, 7199), (7200, 7200)])
def test_the_rows_of_an_hour_add_up(folded_s: int, window_s: tuple[int, int]) -> None:
    drawn = random.Random(7)
    events = sorted(
        (Event(f"a{drawn.randrange(5)}", drawn.randrange(4 * 3600), tokens=drawn.randrange(300)) for _ in range(900)),
        key=lambda event: event.at_s,
    )
    begin, end = (START + timedelta(seconds=at) for at in window_s)
    with memory_store() as store:
        with store.transaction() as tx:
            # Two deltas tell of each minute: what is stored of an hour is many rows, of which some are folded.
            for part in range(2):
                apply_deltas(tx, [delta(450 * part, 450 * (part + 1), events[part::2], watermark_s=14400)])
            fold(tx, watermark=START + timedelta(seconds=folded_s))
        stored = rows(store, f"select count(*) from account_rows('{begin}', '{end}')")[0][0]
        found = rows(store, f"select {ADDED} from account_rows('{begin}', '{end}') group by all order by all")
        wanted = rows(store, f"select {SHOWN} from account_hours('{begin}', '{end}') order by all")
    assert found == wanted
    assert (len(wanted) > 0) == (window_s[0] < window_s[1])
    assert stored > len(wanted) or folded_s == 16000 or not wanted
