"""`often_said` gives what filtering `account_texts` gives, and both take as few fragments of an hour as are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pipeline.testing import Bench

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = (BEGIN, BEGIN + timedelta(hours=4))
SAID = f"from account_texts('{WINDOW[0]}', '{WINDOW[1]}')"
TOTALS = (
    "select source_id, sum(events)::bigint as requests from link_delta where target_kind = 'model' group by source_id"
)
SHARES = ((0.04, 0.5), (0.3, 0.3), (0.8, 0.5), (0.04, 0.01))


def _links(seed: int) -> pl.DataFrame:
    """Sixty accounts that say a little or much of many things; every tenth a hundred fragments in one hour."""
    rng = np.random.default_rng(seed)
    rows = []
    for account in range(60):
        requests = int(rng.integers(1, 40))
        rows.append((0, account, "model", "m-1", requests))
        for _ in range(int(rng.integers(1, 30))):
            kind = ("template", "system_prompt", "fragment")[rng.integers(3)]
            # Two deltas may speak of one pair in one hour, and a system prompt may have the id of a template.
            rows.append((int(rng.integers(4)), account, kind, f"{rng.integers(12):016x}", int(rng.integers(1, 4))))
        if account % 10 == 0:
            rows += [(2, account, "fragment", f"{place:016x}", 1 + place % 2) for place in rng.permutation(100)]
    hours, accounts, kinds, things, events = zip(*rows, strict=True)
    at = [BEGIN + timedelta(hours=hour) for hour in hours]
    return pl.DataFrame(
        {
            "hour": at,
            "source_kind": "account",
            "source_id": [f"a{account}" for account in accounts],
            "target_kind": kinds,
            "target_id": things,
            "events": events,
            "output_tokens": 0,
            "first_seen": at,
            "last_seen": at,
            "source_partition": 0,
            "from_offset": list(range(len(rows))),
        }
    )


@pytest.mark.parametrize("seed", range(2))
def test_often_said_is_what_filtering_gives(seed: int) -> None:
    with Bench() as bench, bench.store.transaction() as tx:
        tx.insert("link_delta", _links(seed))
        everything = tx.execute(f"select count(*) {SAID}").fetchall()[0][0]
        for share, once in SHARES:
            wanted = tx.execute(
                f"select kind, thing_id, account_id, events, said.first_seen, said.last_seen, requests {SAID} as said "
                f"inner join ({TOTALS}) as total on account_id = source_id "
                f"where events >= {share} * requests and (events > 1 or events >= {once} * requests) order by all"
            ).pl()
            found = tx.execute(
                f"select * from often_said('{WINDOW[0]}', '{WINDOW[1]}', {share}, {once}) order by all"
            ).pl()
            assert found.equals(wanted)
            assert 0 < found.height < everything


def test_of_an_hour_the_smallest_fragments_count() -> None:
    with Bench() as bench, bench.store.transaction() as tx:
        tx.insert("link_delta", _links(0))
        cut = tx.execute(f"select source_id, last_kept from last_fragments('{WINDOW[0]}', '{WINDOW[1]}')").fetchall()
        most = tx.execute(
            f"select max(things) from (select count(distinct thing_id) as things {SAID} where kind = 'fragment' "
            f"and account_id = 'a10' and thing_id > '{12:016x}' group by account_id)"
        ).fetchall()[0][0]
    assert dict(cut) == {f"a{account}": f"{63:016x}" for account in range(0, 60, 10)}
    assert most == 63 - 12
