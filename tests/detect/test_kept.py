"""What looks keep of hours that are over: the same is found, and nothing that changed is ever taken from it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import duckdb
import polars as pl
import pytest

from pipeline.clock import ManualClock
from pipeline.config import RuleSettings
from pipeline.detect.aside import Aside, Look
from pipeline.detect.kept import BLOCKS, SETTLED, Block, Kept, _macros, _shadow
from pipeline.rules import Rule, load_rules
from pipeline.rules.model import Window
from pipeline.rules.run import evaluate
from pipeline.sql_text import behind
from pipeline.store.fold import fold_everything
from pipeline.testing import START, Bench

HOUR: Final = timedelta(hours=1)
BEGIN: Final = START.replace(minute=0)
END: Final = BEGIN + 30 * HOUR
RULES: Final = load_rules(RuleSettings()).rules
PROMPT: Final = RULES["shared_prompt"]
# Each macro of which hours are kept, as a rule calls it; the shares are those that are kept, and a larger one.
CALLS: Final = {
    "active_accounts": "active_accounts($since, $until)",
    "asked_kinds": "asked_kinds($since, $until)",
    "account_distributions": "account_distributions($since, $until)",
    "last_fragments": "last_fragments($since, $until)",
    "often_said": "often_said($since, $until, 0.04, 0.5)",
    "crowds": "crowds((select list(struct_pack(kind := kind, thing_id := thing_id, account_id := account_id, "
    "events := events, asking := 0.5)) from often_said($since, $until, 0.1, 0.9)), $since, $until, 30, 0.3, 3)",
}


def events(seed: int, accounts: int = 30, hours: float = 30.0, requests: int = 900) -> list[dict[str, Any]]:
    """Some say one thing, some of them seldom; one says so much that of its hours not all fragments count."""
    chance = random.Random(seed)
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(6)]
    made = []
    for index in range(requests):
        loud = index < 90  # in the same few hours
        number = 0 if loud else min(int(chance.expovariate(0.15)), accounts - 1)
        at_h = chance.choice([2, 20, 22]) + chance.random() if loud else chance.random() * hours
        own = " ".join(chance.choices(words, k=120 if loud else 20))
        kind = chance.random()
        prompt = chance.choice(texts) if kind < 0.3 else own if kind < 0.8 else f"{own} {chance.choice(texts)}"
        if chance.random() < 0.1:
            prompt = f"Think step by step and show your reasoning in full. {prompt}"
        made.append(
            {
                "account_id": f"a{number}",
                "timestamp": (BEGIN + timedelta(hours=at_h)).isoformat(),
                "prompt": prompt,
                "user_agent": chance.choice(["one", "two", f"own{number}"]),
                "ip": f"10.{number % 3}.{chance.randrange(4)}.9",
            }
        )
    return sorted(made, key=lambda event: str(event["timestamp"]))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(clock=ManualClock(END)) as made:
        for part in range(2):  # a delta brings 64 fragments of an hour at most
            made.add_events(events(1)[part::2])
        made.add_accounts(
            [
                {"account_id": f"a{n}", "email_domain": f"d{n % 5}.example", "payment_hash": f"p{n % 7}"}
                for n in range(30)
            ]
        )
        yield made


def window(until_h: float, since_h: float = 0) -> Window:
    until = BEGIN + until_h * HOUR
    return Window(BEGIN + since_h * HOUR, until, until)


def calling(name: str, call: str) -> Rule:
    return replace(PROMPT, rule_id=name, sql=f"select * from {call}", behind=behind(f" {call}"), parameters={})


def rows(connection: duckdb.DuckDBPyConnection, rule: Rule, at: Window) -> list[tuple[object, ...]]:
    found = connection.execute(rule.sql, {"since": at.since, "until": at.until}).pl()
    lists = [name for name, dtype in found.schema.items() if dtype == pl.List(pl.String)]
    floats = [name for name, dtype in found.schema.items() if dtype == pl.Float64]
    found = found.with_columns(pl.col(lists).list.sort(), pl.col(floats).round(9))
    return sorted(found.rows(), key=repr)


def kept_rows(kept: Kept, rule: Rule, at: Window, *, uses: bool = True) -> list[tuple[object, ...]]:
    """As a look finds them; ``uses``: whether something kept is to be used for it."""
    connection = kept.connection()
    block = kept.prepare(rule, at)
    connection.execute("begin transaction read only")
    try:
        connection.execute("select version from schema_version limit 1")
        kept.use(rule, block)
        shadows = connection.execute(
            "select count(*) from duckdb_functions() where database_name = 'temp' and function_type = 'table_macro'"
        ).fetchall()
        assert (shadows[0][0] > 0) == uses
        return rows(connection, rule, at)
    finally:
        connection.execute("rollback")


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("folded", [False, True])
def test_what_is_kept_gives_what_is_stored(bench: Bench, name: str, folded: bool) -> None:
    kept, rule = Kept(bench.store), calling(name, CALLS[name])
    if folded:
        with bench.store.transaction() as tx:
            fold_everything(tx)
    plain = bench.store.reader()
    assert kept_rows(kept, rule, window(20.5), uses=False) == rows(plain, rule, window(20.5))
    # Not only the hour after what is kept: a look may come late, and what is to be kept next is not there yet.
    for until_h in (20.5, 20.9, 21.9, 23.1, 27.9, 30.0):
        expected = rows(plain, rule, window(until_h))
        assert expected or name == "crowds"
        assert kept_rows(kept, rule, window(until_h)) == expected
    for since_h in (1, 0.5):
        assert kept_rows(kept, rule, window(30, since_h), uses=False) == rows(plain, rule, window(30, since_h))
    kept.close()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_often_said_is_so_by_either_part(seed: int) -> None:
    """Accounts of few requests and of many, at shares from those that are kept on, and below."""
    with Bench(clock=ManualClock(END)) as bench:
        for part in range(2):
            bench.add_events(events(seed, accounts=60, requests=500)[part::2])
        kept = Kept(bench.store)
        for share, once in ((0.04, 0.5), (0.04, 1), (0.2, 0.5), (0.5, 0.9), (0.02, 0.5), (0.04, 0.1)):
            rule = calling("often_said", f"often_said($since, $until, {share}, {once})")
            kept_rows(kept, rule, window(24.5), uses=kept._made > 0)
            for until_h in (24.5, 24.75, 29.5):
                assert kept_rows(kept, rule, window(until_h)) == rows(bench.store.reader(), rule, window(until_h))
        kept.close()


def test_other_windows_of_a_rule_are_read_as_they_are(bench: Bench) -> None:
    rule = calling(
        "active_accounts",
        "active_accounts($since, $until) union all "
        "select * from active_accounts($since, $until::timestamptz - to_days(1)) union all "
        "select * from active_accounts($since::timestamptz + to_hours(3), $until)",
    )
    kept = Kept(bench.store)
    kept_rows(kept, rule, window(24.5), uses=False)
    assert kept_rows(kept, rule, window(24.5)) == rows(bench.store.reader(), rule, window(24.5))
    kept.close()


def test_a_late_event_is_seen_and_nothing_is_kept_while_they_come(bench: Bench) -> None:
    kept, rule = Kept(bench.store), calling("active_accounts", CALLS["active_accounts"])
    kept_rows(kept, rule, window(24.5), uses=False)
    before = kept_rows(kept, rule, window(24.5))
    for minute in range(3):
        late = BEGIN + 5 * HOUR + minute * timedelta(minutes=1)
        kept.moved(late)  # said before it is committed
        bench.add_events([{"account_id": f"late{minute}", "timestamp": late.isoformat(), "prompt": "hello"}])
        kept.settled()
        after = kept_rows(kept, rule, window(24.5), uses=False)
        assert len(after) == len(before) + minute + 1
    assert len(kept._blocks) == 1
    assert kept_rows(kept, rule, window(24.5)) == after
    kept.moved(BEGIN + 24 * HOUR)  # after the hours that are kept
    kept.settled()
    assert kept_rows(kept, rule, window(24.5)) == after
    kept.close()


def test_what_is_changed_and_not_committed_yet_is_not_kept(bench: Bench) -> None:
    kept, rule = Kept(bench.store), calling("active_accounts", CALLS["active_accounts"])
    kept.moved(BEGIN + 2 * HOUR)
    for _ in range(3):
        kept_rows(kept, rule, window(24.5), uses=False)
    kept.settled()
    kept_rows(kept, rule, window(24.5), uses=False)
    kept_rows(kept, rule, window(24.5))
    kept.close()


def test_facts_are_those_of_now(bench: Bench) -> None:
    kept, rule = Kept(bench.store), calling("active_accounts", CALLS["active_accounts"])
    kept_rows(kept, rule, window(24.5), uses=False)
    before = kept_rows(kept, rule, window(24.5))
    bench.add_accounts([{"account_id": "a1", "organisation": "acme"}])
    after = kept_rows(kept, rule, window(24.5))
    assert after != before
    assert after == rows(bench.store.reader(), rule, window(24.5))
    kept.close()


def test_few_windows_are_kept_and_the_writer_may_take_them_back(bench: Bench) -> None:
    kept, rule = Kept(bench.store), calling("active_accounts", CALLS["active_accounts"])
    for since_h in range(BLOCKS + 2):
        kept_rows(kept, rule, window(24.5, since_h), uses=False)
        kept_rows(kept, rule, window(24.5, since_h))
    tables = "select count(*) from duckdb_tables() where database_name = 'temp'"
    assert kept.connection().execute(tables).fetchall() == [(BLOCKS,)]
    first = kept.connection()
    bench.store.readers.let_go()
    kept.done()
    with pytest.raises(duckdb.ConnectionException):
        first.execute("select 1")
    kept_rows(kept, rule, window(24.5), uses=False)
    kept.close()
    kept.close()


def test_without_memory_it_is_looked_without(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, rule = Kept(bench.store), calling("active_accounts", CALLS["active_accounts"])

    tried: list[Block] = []

    def say(block: Block) -> None:
        tried.append(block)
        raise duckdb.OutOfMemoryException("Out of Memory")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "_say", say)
        for until_h in (24.5, 24.5, 24.6, 25.1, 25.2, 25.3, 25.4):
            kept_rows(kept, rule, window(until_h), uses=False)
    assert [block.upto for block in tried] == [BEGIN + 24 * HOUR, BEGIN + 25 * HOUR]  # once an hour
    kept_rows(kept, rule, window(25.4), uses=False)
    for until_h, uses in ((26.4, False), (26.4, True)):
        kept_rows(kept, rule, window(until_h), uses=uses)
    kept.close()


def looked(aside: Aside, windows: list[Window]) -> list[pl.DataFrame]:
    aside.begin(None)
    aside.ask(Look(PROMPT, windows, windows[-1].until, 0))
    aside.committed()
    aside.wait()
    aside.begin(None)
    [look] = aside.ended()
    assert look.complete
    assert look.error is None
    aside.committed()
    return look.frames


def test_looks_beside_the_writer_use_it(bench: Bench) -> None:
    aside = Aside(bench.store, bench.clock, within_s=30)
    kept = aside._kept
    expected = evaluate(bench.store.reader(), PROMPT, window(24.5).since, window(24.5).until)
    for _ in range(3):
        [found] = looked(aside, [window(24.5)])
        assert found.drop("strength").equals(expected.drop("strength"))
    assert kept._blocks[-1].tables
    aside.moved(None)
    aside.begin(BEGIN)  # facts, which are not kept, or whatever else rules are to look again for
    assert [block.stale for block in kept._blocks] == [False]
    aside.begin(BEGIN)  # nobody says what it is
    assert [block.stale for block in kept._blocks] == [True]
    # More windows at once than are kept: what one of them made is gone before it is looked at.
    windows = [window(24.5, since_h) for since_h in range(BLOCKS + 2)]
    for _ in range(2):
        for at, found in zip(windows, looked(aside, windows), strict=True):
            plainly = evaluate(bench.store.reader(), PROMPT, at.since, at.until)
            assert found.drop("strength").equals(plainly.drop("strength"))
    bench.store.readers.let_go()
    assert looked(aside, [window(24.5)])[0].drop("strength").equals(expected.drop("strength"))
    aside.close()
    assert kept._cursor is None


def test_rules_find_the_same(bench: Bench) -> None:
    kept, plain = Kept(bench.store), bench.store.reader()
    found, at = 0, window(24.5)
    for rule in RULES.values():
        connection = kept.connection()
        kept.prepare(rule, at)
        block = kept.prepare(rule, at)
        connection.execute("begin transaction read only")
        kept.use(rule, block)
        frame = evaluate(connection, rule, at.since, at.until)
        connection.execute("rollback")
        expected = evaluate(plain, rule, at.since, at.until)
        assert frame.drop("strength").equals(expected.drop("strength"))
        assert frame["strength"].to_list() == pytest.approx(expected["strength"].to_list())
        found += frame.height
    assert found > 0
    kept.close()


def test_each_macro_of_it_stands_for_one_that_rules_read() -> None:
    texts = "\n".join(rule.behind for rule in RULES.values())
    assert _macros() == CALLS.keys()
    for name in _macros():
        assert f"macro {name}(" in texts
        assert any(f"temp macro {name}(" in text for text in _shadow(name))
    assert timedelta(0) < SETTLED < HOUR
