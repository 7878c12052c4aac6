"""Who is named: e-BH against a naive reading of it, its promise on simulated innocents, and what it is based on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.config import RuleSettings, Settings
from pipeline.detect import Detector
from pipeline.detect.discoveries import (
    FEWEST,
    Basis,
    Tests,
    apply_naming,
    choose,
    count_tests,
    known_of_text,
    last_naming,
)
from pipeline.detect.reference import (
    SHIPPED,
    Population,
    Reference,
    compared_with,
    e_values,
    load_reference,
    rounded_up,
    write_reference,
)
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.rules import load_rules
from tests.detect.world import MINUTES, START, Tx, world

NOW = datetime(2026, 1, 5, 13, tzinfo=UTC)
POPULATION = {"accounts": 5, "worlds": 5, "bound": 2, "scores": [], "rules": {}}
END = START + timedelta(minutes=MINUTES)


@cache
def _one_store() -> Tx:
    return Tx()


def store_of(values: list[float | None], cleared: list[bool] | None = None, heavy: list[bool] | None = None) -> Tx:
    tx = _one_store()
    tx.execute("delete from finding")
    tx.execute("delete from naming_state")
    words = cleared or [False] * len(values)
    tx.insert(
        "finding",
        pl.DataFrame(
            {
                "entity_id": [f"a{number}" for number in range(len(values))],
                "e_value": values,
                "cleared_reason": ["known" if word else None for word in words],
                "population": ["full/young/heavy" if much else "full/young" for much in heavy or [False] * len(values)],
            },
            schema={
                "entity_id": pl.String,
                "e_value": pl.Float64,
                "cleared_reason": pl.String,
                "population": pl.String,
            },
        ).select(
            pl.lit("account").alias("dimension"),
            ("account:" + pl.col("entity_id")).alias("finding_id"),
            "entity_id",
            "e_value",
            "cleared_reason",
            "population",
            pl.lit(0.5).alias("score"),
            pl.lit(value=False).alias("named"),
            pl.lit(NOW).alias("first_seen"),
            pl.lit(NOW).alias("last_seen"),
            pl.lit(NOW).alias("created_at"),
            pl.lit(NOW).alias("updated_at"),
            pl.lit([], dtype=pl.List(pl.String)).alias("reasons"),
        ),
    )
    return tx


def named(tx: Tx) -> set[str]:
    return {row[0] for row in tx.execute("select entity_id from finding where named").fetchall()}


def by_hand(values: list[float | None], cleared: list[bool], tests: int, rate: float) -> set[str]:
    """As Wang and Ramdas write it, one k after the other."""
    own = {f"a{n}": e for n, (e, word) in enumerate(zip(values, cleared, strict=True)) if e is not None and not word}
    best: set[str] = set()
    for k in range(1, len(own) + 1):
        chosen = {name for name, e in own.items() if e * rate / 2 * k >= tests}
        if len(chosen) >= k:
            best = chosen
    return best


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from([0.4, 1.0, 50.0, 500.0, 1000.0, 2e3, 1e4, 2e5, 1e9]), st.booleans()),
        max_size=40,
    ),
    st.sampled_from([1, 100, 1000, 5000]),
    st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0]),
)
def test_it_names_whom_the_paper_names(rows: list[tuple[float | None, bool]], tests: int, rate: float) -> None:
    values, cleared = [value for value, _ in rows], [word for _, word in rows]
    tx = store_of(values, cleared)
    naming = choose(tx, tests=Tests(tests), rate=rate)
    apply_naming(tx, naming, Basis("full", "r"), NOW)
    assert named(tx) == by_hand(values, cleared, tests, rate)
    assert naming.named == len(named(tx))
    [row] = tx.execute("select tests, false_discovery_rate, named, e_value_needed from naming").fetchall()
    assert row == (tests, rate, naming.named, naming.others.needed(rate))
    # Again, it changes nothing.
    assert apply_naming(tx, naming, Basis("full", "r"), NOW) == frozenset()


def test_a_change_of_others_names_and_unnames() -> None:
    tx = store_of([4e4, 4e4, 4e4])
    assert apply_naming(tx, choose(tx, tests=Tests(1000), rate=0.01), Basis("full", "r"), NOW) == frozenset()
    tx.execute("insert into finding by name select * replace ('b' || entity_id as entity_id) from finding")
    first = apply_naming(tx, choose(tx, tests=Tests(1000), rate=0.01), Basis("full", "r"), NOW)
    assert first == {"a0", "a1", "a2", "ba0", "ba1", "ba2"}  # six together reach what three do not
    assert apply_naming(tx, choose(tx, tests=Tests(2000), rate=0.01), Basis("full", "r"), NOW) == first
    assert named(tx) == set()
    assert last_naming(tx) == (Tests(2000), Basis("full", "r"))


def test_who_sends_much_is_a_list_of_his_own() -> None:
    # A pool of the others does not make it easier for one that sends much, nor the other way round.
    tx = store_of([3000.0, 2e4, *([5e4] * 40), 3000.0], heavy=[True, True, *([False] * 40), False])
    naming = choose(tx, tests=Tests(5000, 20), rate=0.01)
    apply_naming(tx, naming, Basis("full", "r"), NOW)
    assert named(tx) == {f"a{number}" for number in range(1, 42)}
    [row] = tx.execute("select heavy, named, named_heavy, e_value_needed, e_value_needed_heavy from naming").fetchall()
    assert row == pytest.approx((20, 41, 1, 5000 / (0.005 * 40), 50 / 0.005))  # a hundredth of all at least
    assert choose(tx, tests=Tests(5000, 4000), rate=0.01).heavy.named == 0


def test_who_sends_much_is_compared_with_others_that_do_where_they_were_measured() -> None:
    one = Population(10, 10, 2, [], {})
    reference = Reference(1, "here", {}, {"full/young": one, "full/young/heavy": one, "full/any": one})
    frame = pl.DataFrame(
        {"population": ["full/young", "full/young", "full/any", "full/any"], "heavy": [True, False, True, None]}
    )
    found = frame.select(compared_with(reference))["population"].to_list()
    assert found == ["full/young/heavy", "full/young", "full/any", "full/any"]


@pytest.mark.parametrize("together", [1, 30])
def test_the_promise_holds_for_innocents_who_depend_on_each_other(together: int) -> None:
    """Scores whose F has a mean of 2, in groups of one score: false discoveries are at most the rate, on average."""
    rng = np.random.default_rng(5)
    bound, rate, accounts, guilty = 2.0, 0.1, 900, 30
    share = []
    for _ in range(60):
        # F = u ** -0.5 for a uniform u has the mean 2, and no variance: as heavy a tail as the bound allows.
        grown = np.repeat(rng.uniform(size=accounts // together) ** -0.5, together)
        values = [*(grown / bound).tolist(), *([1e4] * guilty)]
        tx = store_of(values)
        apply_naming(tx, choose(tx, tests=Tests(accounts + guilty), rate=rate), Basis("full", "r"), NOW)
        found = named(tx)
        wrong = len([name for name in found if int(name[1:]) < accounts])
        assert len(found) - wrong == guilty
        share.append(wrong / len(found))
    assert np.mean(share) <= rate


def test_an_e_value_is_what_anybody_computes_from_score_and_bound(tmp_path: Path) -> None:
    reference = Reference(
        1, "here", {}, {"full/young": Population(10, 10, 2.5, [(0.4, 3)], {"one": [(0.2, 1), (0.4, 2)]})}
    )
    frame = pl.DataFrame(
        {"score": [0.0, 0.9, 1.0, 0.9], "population": ["full/young", "full/young", "full/young", "metadata/young"]}
    )
    found = e_values(frame, reference).to_list()
    assert found[:3] == pytest.approx([1 / 2.5, 1_000_000 / 2.5, 1e24 / 2.5])
    assert found[3] is None  # not measured: nobody is named by a guess
    population = reference.populations["full/young"]
    assert [population.reaching(score) for score in (0.39, 0.4, 0.41)] == [3, 3, 0]
    assert [population.showing("one", strength) for strength in (0.1, 0.3, 0.5)] == [3, 2, 0]
    assert population.showing("two", 0.1) == 0
    write_reference(reference, tmp_path / "r.json")
    assert load_reference(tmp_path / "r.json") == reference


def test_rounding_never_makes_benign_accounts_look_better() -> None:
    values = pl.Series([0.0, 0.1, 0.1001, 0.9999, 1.0])
    assert rounded_up(values) == [(0.1, 1), (0.101, 1), (1.0, 2)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "is no reference"),
        (b"\xff\xfe", "is no reference"),
        (
            b'{"version": 1, "about": "x", "rules": {}, "populations": {"full/young": {"accounts": 0}}}',
            "is no reference",
        ),
        (b'{"version": 2, "about": "x", "rules": {}, "populations": {}}', "has version 2"),
        (
            msgspec.json.encode(
                {"version": 1, "about": "", "rules": {}, "populations": {"full/any": {**POPULATION, "bound": 0.5}}}
            ),
            "is no reference",
        ),
    ],
)
def test_a_bad_reference_is_refused_before_anything_is_judged(content: bytes | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        Detector(Settings(rules=RuleSettings(reference=file)), load_rules(RuleSettings()), ManualClock(NOW), Metrics())
    assert "stillwatch calibrate" in str(caught.value.next_step)


def test_the_shipped_reference_was_measured_with_the_shipped_rules() -> None:
    reference = load_reference(None)
    scored = (rule for rule in load_rules(RuleSettings()) if rule.meta.evidence != "unscored")
    versions = {rule.rule_id: rule.version for rule in scored}
    assert reference.differs(versions) == [], f"measure anew: stillwatch calibrate --out {SHIPPED.name}"
    assert reference.populations.keys() == {
        f"{knowledge}/{age}{use}"
        for knowledge, uses in (("full", ("", "/heavy")), ("hashes", ("",)), ("metadata", ("",)))
        for age in ("young", "any", "unknown")
        for use in uses
    }
    for name, population in reference.populations.items():
        assert population.accounts > (100 if name.endswith("/heavy") else 1000)
        scores = [score for score, count in population.scores for _ in range(count)]
        mean = (sum((1 - score) ** -6 for score in scores) + population.accounts - len(scores)) / population.accounts
        assert population.bound >= mean


def test_another_reference_or_other_knowledge_judges_everybody_anew() -> None:
    tx = Tx()
    tx.add(*world())
    clock = ManualClock(END)
    Detector(Settings(), load_rules(RuleSettings()), clock, Metrics()).run(tx, watermark=END)
    before = tx.execute("select entity_id, e_value from finding where e_value is not null order by all").pl()
    assert set(tx.execute("select distinct population from finding").pl()["population"].drop_nulls()) == {
        "hashes/young",
        "hashes/any",
    }
    shipped = load_reference(None)
    harder = msgspec.structs.replace(
        shipped,
        populations={
            name: msgspec.structs.replace(population, bound=population.bound * 7)
            for name, population in shipped.populations.items()
        },
    )
    other = Detector(Settings(), load_rules(RuleSettings()), clock, Metrics())
    other.reference, other._digest = harder, harder.digest
    other.judge(tx, ())
    after = tx.execute("select entity_id, e_value from finding where e_value is not null order by all").pl()
    assert after["e_value"].to_list() == pytest.approx((before["e_value"] / 7).to_list())


def test_what_is_known_of_prompts_and_who_was_tested() -> None:
    tx = Tx()
    assert known_of_text(tx, END) == "metadata"
    tx.add(*world())
    assert known_of_text(tx, END) == "hashes"
    assert known_of_text(tx, END + timedelta(days=9)) == "metadata"  # nothing in the days that count
    tx.execute("update accounts set events = 10")
    assert count_tests(tx, END) == Tests(FEWEST)
    tx.execute(
        "insert into accounts by name select 'more' || i as account_id, $at as first_seen, $at as last_seen "
        "from range(5000) as many(i)",
        {"at": START},
    )
    seen = tx.execute("select count(*) from accounts").fetchone()
    assert seen is not None
    assert count_tests(tx, END) == Tests(seen[0])
    assert seen[0] > 5000
    tx.execute("update accounts set events = 250, last_seen = last_seen + interval 1 hour where account_id = 'more0'")
    assert count_tests(tx, END) == Tests(seen[0], 1)  # a day at least
    tx.execute("update accounts set first_seen = first_seen - interval 2 days where account_id = 'more0'")
    assert count_tests(tx, END) == Tests(seen[0])
    assert count_tests(tx, END + timedelta(days=8)) == Tests(FEWEST)
