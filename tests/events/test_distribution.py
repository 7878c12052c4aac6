"""Phases depend on a prompt's words alone, to the last bit; hostile text costs little and stops nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.distribution import BUCKETS, PHASES, phases
from pipeline.events.template import normalised
from pipeline.events.words import in_words, mixed
from pipeline.sketch import sketch
from tests.events.frames import decode, event, one, reasons

TEXT = "Explain step by step why a bridge carries the load of a train, and why the train waits"
EXPECTED = "e70e0eebf1f6e70ee0d8f9e32d2200ded800dd272d06273f0e143bf1edf6f118"
TEXTS = st.lists(st.none() | st.text(alphabet=st.sampled_from("ab c,.\n\téж的ไ🙂\0\u200b"), max_size=200), max_size=30)


def of(*prompts: str | None) -> list[Any]:
    """Phases of prompts; None where there are none to tell."""
    texts = normalised(pl.Series(prompts, dtype=pl.String))
    return phases(len(texts), in_words(texts)).to_list()


def by_hand(text: str) -> list[int]:
    """The same by the definition, a number at a time."""
    buckets = [0] * BUCKETS
    for value in mixed(in_words(normalised(pl.Series([text])))[0].hashes).tolist():
        buckets[value >> 58] += -1 if (value >> 57) & 1 else 1
    damped = [round(16 * math.sqrt(abs(count))) * (1 if count > 0 else -1) for count in buckets]
    length = math.sqrt(sum(value * value for value in damped))
    kept = sorted(sorted(range(BUCKETS), key=lambda row: int(mixed(np.array([row + 1], dtype=np.uint64))[0]))[:PHASES])
    signs = [[1 - 2 * ((row & column).bit_count() & 1) for column in range(BUCKETS)] for row in kept]
    sums = [sum(sign * value for sign, value in zip(row, damped, strict=True)) for row in signs]
    return [math.floor(total * 28.8 / length) % 256 for total in sums]


@pytest.mark.parametrize(
    "text", [TEXT, "why", "请解释为什么面包会发酵", "a a a a b", " ".join(f"w{n}" for n in range(700))]
)
def test_they_are_what_the_definition_says(text: str) -> None:
    assert of(text) == [by_hand(text)]


def test_the_same_in_any_process_and_version() -> None:
    # These are stored as sums and sent by gateways: another value is another format.
    code = f"from pipeline.sketch import sketch; print(sketch({{'prompt': {TEXT!r}}})['content']['distribution'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == bytes(of(TEXT)[0]).hex() == EXPECTED


@given(TEXTS, st.integers(1, 5))
def test_batches_do_not_matter(texts: list[str | None], parts: int) -> None:
    size = max(1, len(texts) // parts)
    assert [one for at in range(0, len(texts), size) for one in of(*texts[at : at + size])] == of(*texts)


@pytest.mark.parametrize(
    "text",
    ["a" * 2_000_000, "a " * 1_000_000, "🙂" * 5000, "的" * 9000, "م" * 9000, "ก" * 9000],
    ids=["one letter", "one word", "emoji", "one ideograph", "right to left", "one Thai letter"],
)
def test_hostile_text_is_a_point_like_any_other(text: str) -> None:
    [found] = of(text)
    assert len(found) == PHASES
    assert of(text, None, TEXT) == [found, None, *of(TEXT)]


@pytest.mark.parametrize("text", [None, "", " \t\n", "?!", "\0" * 5000, "\u200b" * 5000])
def test_without_a_word_there_is_none(text: str | None) -> None:
    assert of(text, TEXT) == [None, *of(TEXT)]


def test_words_that_cancel_each_other_are_a_point_too() -> None:
    words = [f"w{number}" for number in range(400)]
    bits = [int(mixed(in_words(pl.Series([word]))[0].hashes)[0] >> np.uint64(57)) for word in words]
    pair = next((a, b) for a in range(400) for b in range(a) if bits[a] ^ bits[b] == 1)
    assert of(" ".join(words[number] for number in pair)) == [[0] * PHASES]


def test_case_order_and_punctuation_do_not_matter_words_do() -> None:
    shuffled = " ".join(sorted(TEXT.upper().replace(",", " !").split()))
    assert of(shuffled) == of(TEXT)
    assert of(TEXT.replace("bridge", "tunnel")) != of(TEXT)


def test_a_gateway_may_send_them_and_what_is_none_is_refused() -> None:
    content = sketch({"prompt": TEXT})["content"]
    assert one(event(content=content))["distribution"] == of(TEXT)[0] == one(event(prompt=TEXT))["distribution"]
    assert one(event(content={"language": "en"}))["distribution"] is None
    for wrong in ("00" * (PHASES - 1), "00" * (PHASES + 1), "GG" * PHASES, "0" * (2 * PHASES - 1), 5, ["00"], ""):
        decoded = decode(event(content={"distribution": wrong}))
        assert reasons(decoded) == [(0, 0, "wrong_type")], wrong
        assert decoded.dead["detail"].to_list() == [f"content.distribution is to be {2 * PHASES} hexadecimal digits"]


def test_what_a_gateway_sends_comes_before_the_text() -> None:
    assert one(event(prompt=TEXT, content={"distribution": "07" * PHASES}))["distribution"] == [7] * PHASES
