"""Files, titles and values of Sigma rules that somebody hostile wrote: refused, or data and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.rules.lint import problems
from pipeline.rules.sigma import Importer, SigmaRefusedError
from pipeline.rules.sigma.compile import Compiled
from pipeline.rules.sigma.importer import compile_file
from pipeline.rules.sigma.refusal import NotExpressibleError
from pipeline.rules.sigma.values import Text, Wild, quote
from tests.rules.sigma_rules import base, file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\ntitle: t\n", "aliases"),
        ("title: a\ntitle: b\n", "given twice"),
        ("- 1\n- 2\n", "a document that is no mapping"),
        ("title: [\n", "while parsing"),
        ("", "no rule in it"),
        ("title: " + "[" * 20_000, "nesting depth"),
        ("title: t\n" + "x" * 300_000, "larger than"),
        ("--- {title: t}\n" * 300, "300 rules"),
        ("title: 5\nlogsource: 5\ndetection: 5\n", "title: Input should be a valid string"),
        ("title: t\ndetection: {condition: 7, 7: 7}\nlogsource: {product: stillwatch}\n", "“t”: detection.condition"),
    ],
)  # fmt: skip
def test_hostile_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sigma.yml"
    path.write_text(text)
    with pytest.raises(SigmaRefusedError, match=re.escape(said)):
        Importer(tmp_path / "rules").run(path)
    assert not (tmp_path / "rules").exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "sigma.yml"
    path.write_bytes(b"title: \xff\xfe\x00")
    with pytest.raises(SigmaRefusedError, match="no YAML"):
        Importer(tmp_path / "rules").run(path)


@pytest.mark.parametrize("title", ["../../x", "/etc/passwd", "a\n'; drop table x; --", "..\\x", "con.sql"])
def test_hostile_titles_name_files_of_the_directory_only(tmp_path: Path, title: str) -> None:
    target = tmp_path / "deep" / "er" / "rules"
    [done] = Importer(target).run(file(tmp_path, {**base({"model": "x"}, "Base"), "title": title, "name": "../../y"}))
    assert re.fullmatch(r"sigma_[a-z0-9_]+", done.rule_id)
    assert sorted(path.name for path in tmp_path.rglob("*.sql")) == [f"{done.rule_id}.sql"]
    assert {path.parent for path in tmp_path.rglob("sigma_*")} == {target}


TEXTS: Final = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=30)
NASTY: Final = st.sampled_from(
    ["'", "''; drop table pane; --", "%", "_", "\\", "\\'", "*", "a' or '1'='1", "$since", "{}", "{i}", "/*", "“"]
)
VALUES: Final = st.one_of(TEXTS, st.tuples(TEXTS, NASTY, TEXTS).map("".join))


@given(VALUES, VALUES)
def test_a_value_stays_data_in_sql(value: str, other: str) -> None:
    for cased in (True, False):
        test = Text((value,), cased=cased)
        asked = f"select {test.sql('given')} from (select $given as given)"
        assert duckdb.execute(asked, {"given": value}).fetchone() == (True,)
        if value.casefold() != other.casefold() and value.lower() != other.lower():
            assert duckdb.execute(asked, {"given": other}).fetchone() == (False,)
    around = Text((value, Wild.MANY, Wild.ONE))
    found = duckdb.execute(
        f"select {around.sql('given')} from (select $given as given)", {"given": f"{value}x{other}y"}
    )
    assert found.fetchone() == (True,)
    assert around.holds(f"{value}x{other}y")
    assert duckdb.execute(f"select {quote(value)}").fetchone() == (value,)


@given(VALUES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_rule_with_any_value_is_one_select_of_the_same_shape(tmp_path: Path, value: str) -> None:
    escaped = re.sub(r"([\\*?])", r"\\\1", value)
    path = file(tmp_path, base({"account.plan": escaped, "refused": True}, title=f"x {value}", level="low"))
    try:
        [one] = compile_file(path)
    except SigmaRefusedError as error:  # a value that no case could be made with
        assert "{i}" in value or "{j}" in value, error  # noqa: PT017
        return
    assert problems(one.sql, frozenset({"threshold"})) == []
    assert shape(one) == shape(
        compile_file(file(tmp_path, base({"account.plan": "x", "refused": True}, level="low")))[0]
    )


def shape(one: Compiled) -> str:
    """The syntax tree without its constants."""
    row = duckdb.execute("select json_serialize_sql($sql)", {"sql": one.sql}).fetchone()
    assert row is not None
    return re.sub(r'"(value|query_location)":("(?:[^"\\]|\\.)*"|\d+)', "", str(row[0]))


def test_control_characters_never_reach_sql() -> None:
    for value in ("a\nb", "a\x00b", "a\u2028b", "a\udc00b"):
        with pytest.raises(NotExpressibleError, match="invisible character"):
            quote(value)
