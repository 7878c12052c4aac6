"""`link_days` adds up to what `links_1d` says of days that begin in a window, whatever of it is folded."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache

import pytest

from pipeline.fingerprint.schema import Delta
from pipeline.store import apply_deltas, fold
from tests.store.made import START, Event, apart, memory_store, rows

DAY_S = 86400
MIDNIGHT_S = DAY_S / 2  # START is noon
KEYS = "day, source_id, target_kind, target_id"


@cache
def _deltas() -> list[Delta]:
    drawn = random.Random(7)
    events = sorted(
        (Event(f"a{drawn.randrange(3)}", drawn.randrange(3 * DAY_S), tokens=drawn.randrange(4)) for _ in range(300)),
        key=lambda event: event.at_s,
    )
    return apart(events, DAY_S / 4)


WINDOWS = (  # begin, end, days that begin in it with requests
    (-DAY_S, 5 * DAY_S, 4),
    (MIDNIGHT_S, MIDNIGHT_S + DAY_S, 1),
    (MIDNIGHT_S, MIDNIGHT_S + DAY_S + 1, 2),
    (MIDNIGHT_S + 1, MIDNIGHT_S + DAY_S, 0),
    (MIDNIGHT_S - 3600, MIDNIGHT_S + 3600, 1),
)


@pytest.mark.parametrize("folded_s", [0, DAY_S + 5400, 5 * DAY_S])
def test_the_rows_of_a_day_add_up(folded_s: int) -> None:
    with memory_store() as store:
        with store.transaction() as tx:
            apply_deltas(tx, _deltas())
            fold(tx, watermark=START + timedelta(seconds=folded_s))
        assert (rows(store, "select count(*) from link_day")[0][0] > 0) == (folded_s > 0)
        for begin_s, end_s, days in WINDOWS:
            begin, end = (START + timedelta(seconds=at) for at in (begin_s, end_s))
            found = rows(
                store,
                f"select {KEYS}, sum(events)::bigint, min(first_seen), max(last_seen) "
                f"from link_days('{begin}', '{end}') group by all order by all",
            )
            assert found == rows(
                store,
                f"select {KEYS}, events, first_seen, last_seen from links_1d "
                f"where source_kind = 'account' and day >= '{begin}' and day < '{end}' order by all",
            )
            assert len({row[0] for row in found}) == days
