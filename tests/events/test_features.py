"""Features: stable where they should be, different where they should be, and no text behind them."""

# ruff: noqa: RUF001 -- letters of many scripts are the point

from typing import Any

import polars as pl
import pytest

from pipeline.events.language import guess_languages
from pipeline.events.origin import clients, networks
from tests.events.frames import decode, event, one


def _asked(text: str, **fields: Any) -> dict[str, Any]:
    return one(event(messages=[{"role": "user", "content": text}], **fields))


LEAD = "Solve the problem step by step and show your whole reasoning"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (f"{LEAD}:\n\nWhat is 7 + 5?", f"{LEAD}:\n\nA train leaves Ulm. When does it arrive?\nThink."),
        (f"{LEAD}: first payload", f"{LEAD}: and quite another one"),
        ('Please grade the answer "Paris" from 1 to 5', 'Please grade the answer "the city of Rome" from 1 to 10'),
        ("Write a letter to Anna Schmidt about order 4711", "Write a letter to Bob about order 99182"),
        ("Summarise https://a.example/x?y=1 for me", "Summarise  https://b.example/long/path for me"),
        ("Look up the user 3f2a9c81d0e7 in our records", "look up the USER aa12bc34de56 in our records"),
        ("Look up the user\u200b a1 in our records", "Look up the user a2 in our records"),
    ],
)  # fmt: skip
def test_one_template_whatever_the_variables(left: str, right: str) -> None:
    first, second = _asked(left), _asked(right)
    assert first["template_hash"] == second["template_hash"]
    assert first["prompt_hash"] != second["prompt_hash"]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Translate the following text to French:\nfoo", "Summarise the following text in a line:\nfoo"),
        ("How do I boil an egg?", "How do I bake a cake?"),
        ("请把下面的文字翻译成英文：\n你好", "请总结下面的文章内容：\n你好"),
    ],
)
def test_another_instruction_is_another_template(left: str, right: str) -> None:
    assert _asked(left)["template_hash"] != _asked(right)["template_hash"]


def test_the_system_prompt_is_told_apart_by_words_not_by_blanks_and_case() -> None:
    plain, loud = one(event(system="You are  HELPFUL.\n")), one(event(system="you are helpful."))
    inside = one(event(messages=[{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "x"}]))
    assert plain["system_hash"] == loud["system_hash"] == inside["system_hash"]
    assert one(event(system="You are rude."))["system_hash"] != plain["system_hash"]


def test_hashes_are_those_of_every_process_and_version() -> None:
    found = _asked(f"{LEAD}:\n\nWhat is 7 + 5?", system="Be kind")
    # Written down once: stored fingerprints would fall apart if these ever changed.
    assert (found["system_hash"], found["template_hash"], found["prompt_hash"]) == (
        WRITTEN["system"], WRITTEN["template"], WRITTEN["prompt"],
    )  # fmt: skip


WRITTEN = {"system": 2495954169489360521, "template": 5366143743583568684, "prompt": 2710720700624048675}


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b"])
def test_blank_prompts_have_no_hash(text: str) -> None:
    found = _asked(text)
    assert (found["template_hash"], found["prompt_hash"], found["language"]) == (None, None, None)


@pytest.mark.parametrize(
    "text", ["\x00\x01", "🙂" * 50, "a" * 100_000, "مرحبا بالعالم", "ข้อความภาษาไทย", "\ufffd{[\"'`", "````"]
)
def test_odd_text_is_no_trouble(text: str) -> None:
    assert _asked(text)["prompt_chars"] == len(text)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France and how do I get there?", "en"),
        ("¿Cuál es la capital de Francia y cómo se llega en tren?", "es"),
        ("Wie komme ich mit dem Zug in die Stadt und was ist das?", "de"),
        ("Quelle est la capitale de la France et comment y aller ?", "fr"),
        ("Qual é a capital da França e como você vai para lá?", "pt"),
        ("法国的首都是哪里？", "zh"),
        ("フランスの首都はどこですか", "ja"),
        ("프랑스의 수도는 어디입니까", "ko"),
        ("Какая столица у Франции и как туда ехать?", "ru"),
        ("Яка столиця Франції і як туди їхати?", "uk"),
        ("ما هي عاصمة فرنسا", "ar"),
        ("เมืองหลวงของฝรั่งเศสคืออะไร", "th"),
        ("xqz wvk", "Latn"),
        ("1 + 1 = ?", None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    assert guess_languages(pl.Series([text, None])).to_list() == [language, None]


def test_what_a_gateway_computed_itself_stands_for_the_text() -> None:
    asked = _asked("Hello there, how are you?", system="Be kind")
    names = ("system_hash", "template_hash", "prompt_hash")
    content = {name: f"{asked[name]:016x}" for name in names} | {
        "prompt_chars": 25,
        "system_chars": 7,
        "language": "en",
    }
    given = one(event(content=content))
    assert {name: given[name] for name in content} == {name: asked[name] for name in content}


def test_the_kind_of_a_request_is_told_from_system_prompt_and_prompt_and_a_gateway_may_tell_it() -> None:
    grade = "Grade the answer on a scale from 1 to 5 for accuracy."
    assert _asked(f"{grade}\n\nAnswer: Rome")["request_kind"] == "rubric_grading"
    assert _asked("Rome", system=grade)["request_kind"] == "rubric_grading"
    assert _asked("What is the capital of Italy?")["request_kind"] == "ordinary"
    assert one(event())["request_kind"] is None
    assert one(event(content={"request_kind": "benchmark_item"}))["request_kind"] == "benchmark_item"
    assert _asked(grade, content={"request_kind": "ordinary"})["request_kind"] == "ordinary"
    refused = decode(event(content={"request_kind": "rude"}), event(content={"request_kind": 5})).dead
    assert refused["reason"].to_list() == ["wrong_type", "wrong_type"]
    assert refused["detail"][0].startswith("content.request_kind is to be one of ordinary, reasoning_elicitation")
    assert "rude" not in refused["detail"][0]


def test_counts_are_derived_only_where_they_are_not_told() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]},
        {"role": "tool", "content": "42"},
    ]
    found = one(event(messages=messages, tools=[{}, {}, {}]))
    assert (found["message_count"], found["tool_call_count"], found["tool_count"]) == (3, 2, 3)
    assert one(event(messages=messages, message_count=9))["message_count"] == 9


@pytest.mark.parametrize(
    ("reason", "refused"), [("content_filter", True), ("refusal", True), ("stop", False), (None, None)]
)
def test_refusals_follow_from_the_finish_reason(reason: str | None, refused: bool | None) -> None:
    assert one(event(finish_reason=reason))["refused"] is refused
    assert one(event(finish_reason=reason, refused=False))["refused"] is False


def test_blobs_are_hashed_at_once() -> None:
    found = one(event(reasoning_blobs=["sig-a", "sig-b", "sig-a", None]))
    assert len(found["reasoning_blobs"]) == 2
    assert one(event(reasoning_blobs=["sig-b"]))["reasoning_blobs"][0] in found["reasoning_blobs"]


@pytest.mark.parametrize(
    ("ip", "address", "network"),
    [
        ("203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77:443", "203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77, 10.0.0.1", "203.0.113.77", "203.0.113.0/24"),
        ("2001:0DB8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]:80", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.77", "203.0.113.0/24"),
        ("::1", "::1", "::/48"),
        ("unknown", "unknown", "AS64500"),
        (None, None, "AS64500"),
    ],
)
def test_networks(ip: str | None, address: str | None, network: str) -> None:
    found = networks(pl.Series("ip", [ip], dtype=pl.String), pl.Series("asn", [64500]))
    assert (found[0].item(), found[1].item()) == (address, network)


def test_a_client_is_readable_and_a_long_one_still_its_own() -> None:
    agents = ["a/1", None, "x" * 300 + "1", "x" * 300 + "2"]
    frame = pl.DataFrame({"user_agent": agents, "ja4": ["t13", None, None, None], "sdk": [None] * 4}).cast(pl.String)
    short, none, long, other = clients(frame)
    assert (short, none) == ("a/1 · t13", None)
    assert len(long) == len(other) == 160
    assert long != other


def test_no_text_is_left_in_an_event() -> None:
    secret = "The launch code is xyzzy plugh"
    found = one(
        event(system=secret, messages=[{"role": "user", "content": secret}], response=secret, tools=[{"d": secret}])
    )
    assert "xyzzy" not in repr(found)


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "Hi"}, {"system": "Hi"}, {"response": "Hi"}, {"content": {}}, {"tools": []}, {"reasoning_blobs": []},
     {"messages": []}, {"messages": [{"role": "assistant"}]}, {"prompt": ["Hi", "there"]}, {"prompt": [1, 2]}],
)  # fmt: skip
def test_a_batch_of_one_kind_only(fields: dict[str, Any]) -> None:
    decoded = decode(*(event(event_id=f"e{number}", **fields) for number in range(3)))
    assert decoded.dead.rows(named=True) == []
    assert decoded.events["event_id"].to_list() == ["e0", "e1", "e2"]
