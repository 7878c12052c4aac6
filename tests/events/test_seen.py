"""What is found does not depend on what is remembered; and where it can be, little is looked for."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.seen import LONGEST_PAUSE, Seen

SCHEMA = pl.Schema(dict.fromkeys(["a", "b", "c", "d", "e", "f", "g", "h"], pl.String()))
USUAL = b'{"a":"x","b":1}\n{"a":"y:z"}'

_TEXT = st.text(st.sampled_from('ab: "\\\t/é'), max_size=6)
_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), _TEXT,
    st.lists(_TEXT, max_size=2), st.dictionaries(_TEXT, st.one_of(st.none(), _TEXT), max_size=2),
)  # fmt: skip
_OBJECT = st.dictionaries(st.one_of(st.sampled_from([*SCHEMA, "other"]), _TEXT), _VALUE, max_size=5)
_COLON = st.sampled_from([":", ": ", " : ", "\t:", "\r:", ":  "])
_COMMA = st.sampled_from([",", ", "])


@st.composite
def _line(draw: st.DrawFn) -> str:
    """An object in one of the ways that JSON is written, some of its keys perhaps twice."""
    fields = draw(st.lists(_OBJECT, min_size=1, max_size=2))
    colons, comma = draw(st.lists(_COLON, min_size=1, max_size=3)), draw(_COMMA)
    told = [
        json.dumps(key, ensure_ascii=draw(st.booleans()))
        + colons[number % len(colons)]
        + json.dumps(value, separators=(comma, colons[0]))
        for number, (key, value) in enumerate(pair for one in fields for pair in one.items())
    ]
    return "{" + comma.join(told) + "}"


def _read(text: bytes, schema: pl.Schema = SCHEMA) -> pl.DataFrame | str:
    try:
        return pl.read_ndjson(text, schema=schema)
    except pl.exceptions.PolarsError:
        return "refused"


def _plain(lines: list[str]) -> bytes:
    """As ``json_lines`` hands them over: escapes doubled, so that no quote stands behind a backslash."""
    text = "\n".join(lines).encode().replace(b"\\\\", b"\\u005c").replace(b'\\"', b"\\u0022")
    return text.replace(b"\\", b"\\\\")


@given(st.lists(st.lists(_line(), min_size=1, max_size=4), min_size=1, max_size=4))
def test_the_same_is_found_whatever_came_before(batches: list[list[str]]) -> None:
    seen = Seen(SCHEMA)
    for lines in batches:
        text = _plain(lines)
        whole = _read(text)
        if isinstance(whole, str):
            with pytest.raises(pl.exceptions.PolarsError):
                seen.read(text)
        else:
            assert seen.read(text).equals(whole, null_equal=True)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many fields each reading looked for."""
    found: list[int] = []
    read = pl.read_ndjson

    def counted(text: bytes, *, schema: pl.Schema) -> pl.DataFrame:
        found.append(len(schema))
        return read(text, schema=schema)

    monkeypatch.setattr(pl, "read_ndjson", counted)
    return found


def test_fields_that_are_not_there_are_not_looked_for(looked: list[int]) -> None:
    seen = Seen(SCHEMA)
    for _ in range(3):
        seen.read(USUAL)
    seen.read(b'{"a": null, "b": "x"}')  # nulls may be told
    assert looked == [8, 2, 2, 2]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a":"x","h":1}',  # a field that was not seen
        b'{"a":"x","h":null,"g":"y"}',  # the same beside a null
        b'{"a" :1,"g":"y"}',  # a blank before a colon hides a key, which another would stand in for
        b'{"a"\t:1,"g":"y"}',
        b'{"a":1,"a":2}',  # one twice
        b'{"a":{"b":1}}',  # objects in objects
        b'{"a":":"}',  # a text that begins with a colon
    ],
)
def test_what_was_not_seen_is_found(looked: list[int], odd: bytes) -> None:
    seen = Seen(SCHEMA)
    seen.read(USUAL)
    expected: Any = pl.DataFrame([json.loads(odd)])
    read = seen.read(odd)
    assert looked[-1] == 8
    assert {name for name in SCHEMA if read[name].null_count() == 0} == {
        name for name in expected.columns if expected[name].null_count() == 0
    }


def test_a_stream_that_cannot_be_proved_is_seldom_tried(looked: list[int]) -> None:
    seen = Seen(SCHEMA)
    seen.read(USUAL)
    batches = 10 * LONGEST_PAUSE
    for _ in range(batches):
        seen.read(b'{"a":{"b":1}}')
    assert looked.count(2) < 20
    for _ in range(LONGEST_PAUSE + 2):
        seen.read(USUAL)
    assert looked[-1] == 2  # and again when it has become as it was


def test_most_fields_are_all_fields(looked: list[int]) -> None:
    seen = Seen(SCHEMA)
    full = json.dumps(dict.fromkeys(SCHEMA, "x")).encode()
    for _ in range(3):
        seen.read(full)
    assert looked == [8, 8, 8]
