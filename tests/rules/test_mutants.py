"""The rules' own cases have teeth: a rule with one of its thoughts taken out fails at least one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest

from pipeline.config import RuleSettings
from pipeline.fingerprint.schema import FRAGMENTS_KEPT
from pipeline.resources import sql_dir
from pipeline.rules.load import load_rules
from pipeline.rules.model import Case, Rule
from pipeline.rules.run import RuleAbortedError, RuleResultError
from pipeline.testing import Bench, case_bench, judge_case
from tests.rules.macro_mutants import MACROS
from tests.rules.mutants import MUTANTS

RULES: Final = load_rules(RuleSettings()).rules
# All that looks at the cases of a rule runs in one worker: taking them in is what takes long.
_EACH: Final = [
    pytest.param(rule_id, name, marks=pytest.mark.xdist_group(rule_id))
    for rule_id, mutants in MUTANTS.items()
    for name in mutants
]
_RULE: Final = [pytest.param(rule_id, marks=pytest.mark.xdist_group(rule_id)) for rule_id in MUTANTS]
_MACRO: Final = [
    pytest.param(name, marks=pytest.mark.xdist_group(concerned[0])) for name, (_, _, _, concerned) in MACROS.items()
]

Benches = Callable[[str], list[tuple[Case, Bench]]]


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    """Every case of a rule taken in once: its mutants look at the same events."""
    made: dict[str, list[tuple[Case, Bench]]] = {}

    def of(rule_id: str) -> list[tuple[Case, Bench]]:
        if rule_id not in made:
            made[rule_id] = [(case, case_bench(case)) for case in RULES[rule_id].meta.tests]
        return made[rule_id]

    yield of
    for cases in made.values():
        for _, bench in cases:
            bench.close()


def _failed(rule: Rule, cases: list[tuple[Case, Bench]]) -> Iterator[str]:
    for case, bench in cases:
        try:
            result = judge_case(rule, case, bench)
        except (RuleAbortedError, RuleResultError) as error:
            yield f"{case.name}: {error}"
        else:
            if not result.passed:
                yield case.name


@pytest.mark.parametrize("rule_id", _RULE)
def test_the_rule_as_it_is_passes(rule_id: str, benches: Benches) -> None:
    assert list(_failed(RULES[rule_id], benches(rule_id))) == []


@pytest.mark.parametrize(("rule_id", "name"), _EACH)
def test_a_case_fails_when(rule_id: str, name: str, benches: Benches) -> None:
    rule = RULES[rule_id]
    before, after, *times = MUTANTS[rule_id][name]
    assert rule.sql.count(before) == (times[0] if times else 1)
    assert any(_failed(replace(rule, sql=rule.sql.replace(before, after)), benches(rule_id)))


def test_every_shipped_rule_has_mutants() -> None:
    assert set(MUTANTS) == set(RULES)


@pytest.mark.parametrize("name", _MACRO)
def test_a_case_fails_when_what_rules_share(name: str, benches: Benches) -> None:
    macro, before, after, concerned = MACROS[name]
    text = (sql_dir("views") / f"{macro}.sql").read_text(encoding="utf-8")
    assert text.count(before) == 1
    for rule_id in concerned:
        for _, bench in benches(rule_id):
            bench.store.connection.execute(text.replace(before, after))
        try:
            assert any(_failed(RULES[rule_id], benches(rule_id)))
        finally:
            for _, bench in benches(rule_id):
                bench.store.connection.execute(text)


def test_rules_take_as_many_fragments_as_are_kept() -> None:
    text = (sql_dir("views") / "macro_last_fragments.sql").read_text(encoding="utf-8")
    assert text.count(f"count(*) > {FRAGMENTS_KEPT}\n") == 1
    assert text.count(f"[{FRAGMENTS_KEPT}] as last_kept") == 1
