"""What is worked out fast is what its plain definition says: words, languages, skeletons, and what repeats."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import template
from pipeline.events.features import text_features
from pipeline.events.fragments import fragments
from pipeline.events.language import _COMMON, guess_languages
from pipeline.events.native import NATIVE
from pipeline.events.template import composed, normalised, skeletons
from pipeline.events.words import _ALIKE, _BASE, in_words

TOKENS = [
    *("the", "a", "of", "and", "Foo", "Bar", "Baz-Q", "O'Neil", "Über", "deadbeef", "12", "a1", "1,2", "x@y.zz", "de"),
    *('http://q.z/a"b', "www.x", '"', '"', "“", "”", "«", "»", "`", "```", ":", "\uff1a", "word:", "Name:", ",", ";"),
    *("日本", "カナ", "한국", "ไทย", "привет", "مرحبا", "é", "e\u0301", "İ", "\u200b", "\u00a0", "¨", "\ufb01", "😀"),
    *("Please", "write", "about", "the", "text", "x" * 70, "straße", "não", "bagaimana", "bagaimanas", "の", "ΣΑΣ"),
    *("\u2028", "\0"),
]  # fmt: skip
BETWEEN = [*[" "] * 14, "  ", "\n", "\n\n", "\t", "", "\r\n", ", "]


def drawn(seed: int, most: int = 12) -> pl.Series:
    """Some texts of all lengths, of few tokens or many, with few line breaks or many."""
    source = random.Random(seed)
    found: list[str | None] = [None]
    for _ in range(source.randrange(most)):
        tokens = source.choice([TOKENS, TOKENS[:4], [*TOKENS[:4] * 6, source.choice(TOKENS)], TOKENS[-12:]])
        between = source.choice([BETWEEN, [" "], [*[" "] * 60, "\n"]])
        length = source.choice([0, 3, 20, 70, 150, 300])
        found.append("".join(source.choice(tokens) + source.choice(between) for _ in range(length)))
    return pl.Series(found, dtype=pl.String)


SEEDS = st.integers(0, 2**32).map(drawn)


def plain_words(text: str) -> Iterator[bytes]:
    """One by one: runs of letters and digits, ideographs by themselves, of at most 64 bytes."""
    word, alone = b"", False
    for letter in re.sub(
        r"([\u0e01-\u0e3a\u0e40-\u0e5b\u0e80-\u0eff])",
        r" \1 ",
        text[:4000].translate({ord(one): like for one, like in _ALIKE.items()}),
    ):
        code = letter.encode()
        inside = len(code) > 1 or letter.isdigit() or "a" <= letter <= "z"
        single = 0xE3 <= code[0] <= 0xE9 or code[0] == 0xF0
        if word and (not inside or single or alone or len(word) == 64):
            yield word
            word = b""
        for byte in code if inside else b"":
            if len(word) == 64:
                yield word
                word = b""
            word += bytes([byte])
        alone = single
    if word:
        yield word


@settings(deadline=None, max_examples=150)
@given(SEEDS)
def test_words(texts: pl.Series) -> None:
    said = normalised(texts)
    expected = [
        (row, sum(byte * pow(int(_BASE), place, 2**64) for place, byte in enumerate(word)) % 2**64)
        for row, text in enumerate(said)
        for word in plain_words(text or "")
    ]
    found = [(int(row), int(value)) for one in in_words(said) for row, value in zip(one.rows, one.hashes, strict=True)]
    assert found == expected


@settings(deadline=None, max_examples=150)
@given(SEEDS)
def test_languages_of_latin_script(texts: pl.Series) -> None:
    for text, found in zip(texts, guess_languages(texts), strict=True):
        if found not in {"Latn", *_COMMON}:
            continue
        words = Counter(re.sub(r"[\W\d_]+", " ", pl.select(pl.lit(text[:400]).str.to_lowercase()).item()).split(" "))
        counts = {language: sum(words[one] for one in common.split()) for language, common in _COMMON.items()}
        best = min(counts, key=lambda language: (-counts[language], language))
        assert found == (best if counts[best] else "Latn")


def whole(texts: pl.Series) -> pl.Series:
    """Skeletons by the steps of the definition, over all of the first 4,000 characters."""
    text = composed(texts.str.slice(0, 4000)).str.strip_chars()
    for pattern, mark in template._MASKS:
        text = text.str.replace_all(pattern, mark)
    for pattern in (template._FIRST_LINE, template._BEFORE_COLON):
        text = text.to_frame("text").select(pl.coalesce(pl.col("text").str.extract(pattern), "text")).to_series()
    flat = text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return flat.str.split(" ").list.head(32).list.join(" ").str.slice(0, 240)


@settings(deadline=None, max_examples=300)
@given(SEEDS)
def test_skeletons(texts: pl.Series) -> None:
    assert skeletons(texts).to_list() == whole(texts).to_list()


def test_skeletons_of_beginnings_that_do_not_say_all() -> None:
    line = "please write about the following things "
    texts = [
        f'{line * 8}"{line * 4}" and more {line}',  # a quotation that ends behind the beginning
        f"{line * 8}Ann Bea {'Cleo ' * 30}and more",  # a name likewise
        f"see{line * 8}```{line}\n``` and more",
        f"do ```{line * 20}``` and {line * 4}",
        f"{'a-very-long-word-' * 40} and more",
        f"{'请写一篇关于以下内容的文章' * 60}",
        f"one two\n\n{line * 12}\n{line}",
        f"{line * 9}: {line * 9}",
        f"{line * 8}\n\n{line * 8}",
    ]
    assert skeletons(pl.Series(texts)).to_list() == whole(pl.Series(texts)).to_list()


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.data())
def test_system_prompts_that_repeat_say_what_each_says_alone(texts: pl.Series, data: st.DataObject) -> None:
    at = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=12))
    systems, prompts = texts.gather(at), texts.gather(at[::-1])
    nothing = pl.Series([None] * len(at), dtype=pl.String)
    told = {"system": systems, "prompt": prompts}
    wire = pl.DataFrame({name: told.get(name, nothing) for name in NATIVE.names()})
    together, _ = text_features(wire)
    assert together.equals(pl.concat(text_features(wire[row : row + 1])[0] for row in range(len(wire))))


def test_fragments_of_system_prompts_reach_every_request_that_has_them() -> None:
    systems = [f"you are helper number {number} and you always answer in one short word" for number in range(3)]
    order = np.array([2, 0, 2, 1, 0, 2])
    none = pl.Series([None] * len(order), dtype=pl.String)
    found = fragments(pl.Series(systems).gather(order), none, []).to_list()
    alone = [fragments(pl.Series([one]), none[:1], []).to_list()[0] for one in systems]
    assert found == [alone[place] for place in order]
    assert len({tuple(one) for one in alone}) == 3
