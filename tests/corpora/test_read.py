"""Files of known sets: each kind read alike, and each bad file told with what to do next."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from pipeline.corpora import read_texts
from pipeline.corpora.read import MAX_ITEM_CHARS, CorpusFileError
from pipeline.errors import InputNotFoundError

TEXTS = ["How many apples are left?", 'Say "no",\nthen go.', "Wie viele Äpfel? 多少苹果"]
RECORDS = [{"id": n, "question": text, "answer": "7"} for n, text in enumerate(TEXTS)]


def read(path: Path, field: str | None = None) -> list[tuple[int, str]]:
    return list(read_texts(path, field))


def test_every_kind_of_file_gives_the_same_texts(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(record) for record in RECORDS).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines + b"\n"))
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(RECORDS, indent=1).encode())
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "question", "answer"])
        writer.writeheader()
        writer.writerows(RECORDS)
    expected = list(enumerate(TEXTS, 1))
    for name in ("a.jsonl", "a.jsonl.gz", "a.json", "texts.json", "a.csv"):
        assert read(tmp_path / name) == expected, name
    found = read_texts(tmp_path / "a.csv")
    list(found)
    assert (found.field, found.records, found.without_text) == ("question", 3, 0)


def test_a_line_is_a_text_and_blank_ones_are_none(tmp_path: Path) -> None:
    (tmp_path / "canaries.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n  \ntwo\nthree")
    found = read_texts(tmp_path / "canaries.txt")
    assert list(found) == [(1, "one"), (4, "two"), (5, "three")]
    assert (found.field, found.without_text) == (None, 2)


def test_a_field_may_be_named_and_may_be_missing_now_and_then(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text":"a","goal_text":"x"}\n{"text":"b"}\n{"text":"c","goal_text":null}\n', encoding="utf-8")
    assert read(file) == [(1, "a"), (2, "b"), (3, "c")]
    found = read_texts(file, "goal_text")
    assert list(found) == [(1, "x")]
    assert found.without_text == 2


def test_reading_is_streamed(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text('{"prompt":"first"}\n' + '{"prompt":"more"}\n' * 150_000 + "no json\n", encoding="utf-8")
    texts = iter(read_texts(file))
    assert next(texts) == (1, "first")  # what is wrong far behind is not looked at yet
    with pytest.raises(CorpusFileError, match="record 150002 is no JSON"):
        list(texts)


@pytest.mark.parametrize(
    ("name", "content", "said", "step"),
    [
        ("a.txt", b"", "no text in it", "a text a line"),
        ("a.jsonl", b"\n \n", "no text in it", "a text a line"),
        ("a.txt", b"\x00\x01\x02 text", "binary", "JSON lines"),
        ("a.txt", "Größe\n".encode("latin1"), "no UTF-8 text near record 1", "iconv"),
        ("a.jsonl", b'{"id":1,"label":"x"}\n', "none of the fields.*it has id, label", "--field"),
        ("a.jsonl", b'{"id":1}\n', "record 1: none of the fields", "--field"),
        ("a.jsonl", b'{"prompt":"x"}\n{"prompt":7}\n', "record 2: 'prompt' is a number", "--field"),
        ("a.jsonl", b'{"prompt":"x"}\n[1]\n', "record 2 is a list", "objects with a text"),
        ("a.jsonl", b"[" * 100_000, "record 1 is no JSON", "one JSON object"),
        ("a.json", b'{"prompt":"x"}', "no JSON list", ".jsonl"),
        ("a.json", b"[" * 100_000, "no JSON list", ".jsonl"),
        ("a.csv", b"id,label\n1,x\n", "none of the fields.*it has id, label", "--field"),
        ("a.csv", b'prompt\n"' + b"x" * (MAX_ITEM_CHARS + 9) + b'"\n', "no CSV near record 1", ".jsonl"),
        ("a.txt", b"x" * (MAX_ITEM_CHARS + 1), "has 1000001 characters", "split it"),
        ("a.txt", b"x" * (6 * MAX_ITEM_CHARS), "longer than 4000000 bytes", "a line is an item"),
        ("a.jsonl.gz", b"no gzip at all, really", "cannot be read", "what its name says"),
        ("a.jsonl.gz", gzip.compress(b'{"prompt":"x"}\n' * 9000, mtime=0)[:60], "cannot be read", "whole"),
        ("a.parquet", b"PAR1", "is not read", ".jsonl"),
    ],
)
def test_a_bad_file_is_told_with_the_next_step(tmp_path: Path, name: str, content: bytes, said: str, step: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusFileError, match=said) as caught:
        read(tmp_path / name)
    assert step in caught.value.next_step
    assert len(caught.value.message) < 500


def test_words_that_do_not_fit_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CorpusFileError, match="no field 'prompt'"):
        read_texts(tmp_path / "a.txt", "prompt")
    (tmp_path / "a.jsonl").write_text('{"prompt":"x"}\n', encoding="utf-8")
    with pytest.raises(CorpusFileError, match="no field 'goal'; it has prompt"):
        read(tmp_path / "a.jsonl", "goal")
    with pytest.raises(InputNotFoundError, match="no such file"):
        read_texts(tmp_path / "nowhere.jsonl")
