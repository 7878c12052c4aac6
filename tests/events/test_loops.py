"""What the model said is told when it is sent to it again: the same passages are sampled on both sides, or neither."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events.fragments import WORDS
from pipeline.events.loops import EVERY, MOST, loop_in, loop_out
from pipeline.events.template import normalised
from pipeline.events.words import in_words, mixed, word_heads
from tests.events.frames import event, one

NONE = pl.Series([None], dtype=pl.String)
TEXT = st.text(alphabet=st.sampled_from("aB c,.\n\t7éЖ的ไ🙂ﬁⅣ\0\u200b\u2014"), max_size=200)


def text(seed: int, count: int) -> str:
    """Words that no other seed has in this order."""
    return " ".join(f"w{number}" for number in np.random.default_rng(seed).integers(0, 9999, count))


def said(*texts: str | None) -> list[list[int] | None]:
    return loop_out(pl.Series(texts, dtype=pl.String)).to_list()


def sent(*prompts: str | None, system: str | None = None, earlier: str | None = None) -> list[list[int] | None]:
    many = pl.Series(prompts, dtype=pl.String)
    found = loop_in(
        pl.Series([system] * len(many), dtype=pl.String),
        pl.Series([earlier] * len(many), dtype=pl.String),
        in_words(normalised(many)),
    )
    return found.to_list()


def plain(text: str) -> list[int]:
    """The same, a word at a time."""
    heads = [int.from_bytes(word.encode()[:8], "little") for word in text.lower().split()]
    step, turn, kept = 0xD6E8FEB86659FD93, 0x9E3779B97F4A7C15, set()
    for first in range(len(heads) - WORDS + 1):
        total = 0
        for head in heads[first : first + WORDS]:
            total = (total * step + head * turn) % 2**64
        if total * turn % 2**64 < 2**64 // EVERY:
            kept.add(int(mixed(np.array([total * turn % 2**64], dtype=np.uint64))[0]))
    return sorted(kept)[:MOST]


def test_what_is_sampled_is_what_a_loop_over_words_samples() -> None:
    texts = [text(seed, 500) for seed in range(20)]
    assert [one or [] for one in said(*texts)] == [plain(one) for one in texts]
    assert len(set().union(*map(plain, texts))) == pytest.approx(20 * 493 / EVERY, rel=0.5)


@given(st.lists(st.none() | TEXT, max_size=20))
@settings(max_examples=80, deadline=None)
def test_heads_of_raw_text_are_those_of_the_normalised(texts: list[str | None]) -> None:
    many = pl.Series(texts, dtype=pl.String)
    heads = sorted((int(row), place, int(one)) for row, place, one in _placed(word_heads(many)))
    assert heads == sorted(_placed([words.heads for words in in_words(normalised(many))]))


def _placed(portions: Any) -> list[tuple[int, int, int]]:
    """Row, place in the row, and head."""
    found: list[tuple[int, int, int]] = []
    for portion in portions:
        for row, head in zip(portion.rows.tolist(), portion.values.tolist(), strict=True):
            found.append((row, sum(other == row for other, _, _ in found), head))
    return found


@pytest.mark.parametrize(
    "disguise",
    [str.upper, lambda one: one.replace(" ", "  \n"), lambda one: one.replace("w", "\uff57"), lambda one: f"« {one} »"],
    ids=["case", "blanks", "full width", "quoted"],
)
def test_an_output_shows_in_whatever_request_it_comes_back(disguise: Any) -> None:
    outputs = [text(seed, 300) for seed in range(40)]
    told = said(*outputs)
    assert sum(one is not None for one in told) > 20
    back = sent(*(f"Grade this answer from one to five.\n\n{disguise(one)}\n\nReply in JSON only." for one in outputs))
    for output, request in zip(told, back, strict=True):
        assert set(output or ()) <= set(request or ())
    others = set().union(*(one or () for one in sent(*(text(seed, 300) for seed in range(100, 140)))))
    assert not others & set().union(*(one or () for one in told))


def test_all_of_the_users_messages_and_the_system_prompt_count_and_never_the_assistants() -> None:
    output = next(one for one in (text(seed, 300) for seed in range(9)) if said(one)[0])
    [told] = said(output)
    user, assistant = {"role": "user", "content": output}, {"role": "assistant", "content": output}
    last = {"role": "user", "content": "Go on."}
    for messages, heard in (
        ([user], told),
        ([user, last], told),
        ([user, assistant, last], told),
        ([{"role": "system", "content": output}, last], told),
        ([{"role": "developer", "content": output}, last], told),
        ([last, assistant, last], None),
        ([{"role": "tool", "content": output}, last], None),
    ):
        made = one(event(messages=messages, response=None))
        assert (made["loop_in"], made["loop_out"]) == (heard, None), messages
    made = one(event(prompt="Go on.", response=output))
    assert (made["loop_in"], made["loop_out"]) == (None, told)


def test_many_at_once_are_as_one_at_a_time() -> None:
    systems = [text(seed % 3, 200) if seed % 4 else None for seed in range(40)]
    prompts = [text(seed, 150) if seed % 5 else None for seed in range(40)]
    many = loop_in(
        pl.Series(systems, dtype=pl.String),
        pl.Series(systems[::-1], dtype=pl.String),
        in_words(normalised(pl.Series(prompts, dtype=pl.String))),
    ).to_list()
    alone = [
        sent(prompt, system=system, earlier=earlier)[0]
        for prompt, system, earlier in zip(prompts, systems, systems[::-1], strict=True)
    ]
    assert many == alone
    assert max(len(one) for one in many if one) <= MOST


def test_hostile_texts_are_small_work_and_no_error() -> None:
    hostile = ["", " ", "a", "a" * 2_000_000, "a " * 1_000_000, "\0" * 100, "的" * 3000, "🙂" * 3000, "x" * 64 + "y"]
    assert all(len(one or ()) <= MOST for one in said(*hostile))
    assert said(*hostile) == sent(*hostile)
    assert said() == []
    assert said(None, None) == [None, None]


def test_another_process_samples_the_same() -> None:
    output = next(one for one in (text(seed, 300) for seed in range(9)) if said(one)[0])
    code = (
        "import polars as pl; from pipeline.events.loops import loop_out; "
        f"print(loop_out(pl.Series([{output!r}]))[0].to_list())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == str(said(output)[0])


@pytest.mark.parametrize("given", [["0" * 15], ["g" * 16], ["0" * 16] * (MOST + 1)], ids=["short", "letters", "many"])
@pytest.mark.parametrize("side", ["loop_out", "loop_in"])
def test_what_a_gateway_sends_is_checked(side: str, given: Any) -> None:
    good = one(event(content={side: ["00000000000000ff", "0000000000000001"]}))
    assert good[side] == [1, 255]
    with pytest.raises(AssertionError):
        one(event(content={side: given}))
