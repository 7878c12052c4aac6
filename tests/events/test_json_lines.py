"""Text comes out as it went in, at every depth: escapes, quotes, control characters."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events.json_lines import nested, parse
from pipeline.events.native import WIRE
from pipeline.events.text import plain_text, read_text
from tests.events.frames import decode, event

SCHEMA = pl.Schema({"t": pl.String, "n": pl.String})
# Lone surrogates are no text: they have a test of their own.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "\\frac{1}{2}",
        'say "hi"',
        "C:\\new\\temp",
        "\\",
        '\\"',
        "\\\\\\",
        "tab\there",
        "\x00\x1f\x7f\u2028",
        "\n\r",
        "😀",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), st.booleans())
def test_text_at_the_top_and_nested(pairs: list[tuple[str, str]], ascii_only: bool) -> None:
    lines = [
        json.dumps({"t": top, "n": {"k": [inner], f"_{inner}": 1}}, ensure_ascii=ascii_only) for top, inner in pairs
    ]
    read = parse(pl.Series(lines), SCHEMA)
    assert read.columns["t"].to_list() == [top for top, _ in pairs]
    assert [json.loads(value) for value in read.columns["n"]] == [{"k": [inner], f"_{inner}": 1} for _, inner in pairs]
    again = nested(read.columns["n"], pl.Schema({"k": pl.String}))
    assert [json.loads(value) for value in again["k"]] == [[inner] for _, inner in pairs]


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT, st.booleans())
def test_messages_and_their_parts(system: str, asked: str, in_parts: bool) -> None:
    body: object = [{"type": "text", "text": asked}] if in_parts else asked
    messages = json.dumps([{"role": "system", "content": system}, {"role": "user", "content": body}])
    frame = pl.DataFrame([{"messages": messages}], schema=WIRE)
    text = read_text(frame)
    if not system.lstrip().startswith(("{", "[")) and not asked.lstrip().startswith(("{", "[")):
        assert (text["system"].item(), text["prompt"].item()) == (system, asked)


@pytest.mark.parametrize("line", [r'{"x":"\q"}', r'{"x":"\u12g4"}', r'{"t":"\x41"}', r'{"x":"\"}', '{\\"t\\":1}'])
def test_what_is_no_escape_is_no_json(line: str) -> None:
    assert parse(pl.Series([line, '{"t":"a\\\\b"}']), SCHEMA).bad["line"].to_list() == [0]
    assert decode(event(), line.encode()).dead["reason"].to_list() == ["invalid_json"]


def test_text_that_looks_like_json_stays_text() -> None:
    texts = ["[INST] hello", "{not json", '["a", 1', "[1, 2]", None, "plain"]
    assert plain_text(pl.Series("p", texts)).to_list() == texts
