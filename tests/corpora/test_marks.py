"""What is kept of a known set: the hashes that ingest makes of a request with an item, and of no other item."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.corpora import known_set, read_texts
from pipeline.errors import UsageError
from pipeline.sketch import sketch, sketch_many
from tests.corpora.sets import items

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "prompts"


def test_marks_are_what_a_request_with_the_item_is_linked_to() -> None:
    texts = items(50)
    known = known_set("made", enumerate(texts, 1))
    made = sketch_many([{"messages": [{"role": "user", "content": text}]} for text in texts])
    for number, content in enumerate((one["content"] for one in made), 1):
        own = known.marks.filter(item=number)
        assert {f"{value:016x}" for value in own.filter(~own["template"])["hash"]} == set(content["fragments"])
        assert {f"{value:016x}" for value in own.filter(own["template"])["hash"]} == {content["template_hash"]}


def test_an_instruction_in_each_item_is_no_mark_and_what_cannot_be_found_is_counted() -> None:
    instruction = "Answer the following question of the great quiz of this year:\n"
    texts = [instruction + text for text in items(20)]
    texts += [texts[3], texts[3].upper(), "Hi", "  \u200b", "too few words here"]
    texts += [
        "one and the same sentence of more than eight words, thing 1",
        "one and the same sentence of more than eight words, thing 1 ",
    ]
    known = known_set("quiz", enumerate(texts, 1))
    assert (known.items, known.findable, known.duplicates, known.too_short, known.alike) == (27, 21, 3, 3, 0)
    shared = set(sketch({"prompt": instruction + "x " * 90})["content"]["fragments"])
    assert not shared & {f"{value:016x}" for value in known.marks["hash"]}
    assert known.marks["template"].sum() == 1  # the instruction's template is everybody's
    assert known.marks.select("template", "hash").is_duplicated().sum() == 0


def test_items_that_only_repeat_others_are_told() -> None:
    [text] = items(1, words=9)
    known = known_set("alike", [(1, f"{text} {text}"), (2, f"{text} {text} {text}"), *enumerate(items(3, seed=2), 3)])
    assert known.items == known.findable + known.duplicates + known.too_short + known.alike


@pytest.mark.parametrize("name", ["", "-x", "a b", "a" * 65, "a/b", "a:b", "ä", "a\n", "../x"])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        known_set(name, enumerate(items(3)))


def test_nothing_that_can_be_found_is_an_error() -> None:
    with pytest.raises(UsageError, match="none of 2 items can be found: 2 have fewer than 8 words"):
        known_set("short", [(1, "hello"), (2, "what is the capital of France")])


def test_order_and_chunks_do_not_matter_for_what_it_is() -> None:
    texts = list(enumerate(items(4_100, words=9), 1))  # more than two chunks
    assert known_set("a", texts).digest == known_set("b", iter(texts)).digest
    assert known_set("a", texts).digest != known_set("a", texts[1:]).digest


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("file", "field", "found"),
    [("gsm8k_test.jsonl", "question", 1.0), ("human_eval.jsonl.gz", "prompt", 0.98),
     ("self_instruct_seed_tasks.jsonl", "instruction", 0.8)],
)  # fmt: skip
def test_real_sets_are_read_without_being_told_how(file: str, field: str, found: float) -> None:
    texts = read_texts(DATA / file)
    known = known_set("real", texts)
    assert texts.field == field
    assert known.findable >= found * known.items
