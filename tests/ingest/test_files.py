"""Files become messages, whole and in order; what cannot be read says so."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputNotFoundError
from pipeline.events.schema import RAW
from pipeline.ingest.files import UnreadableInputError, input_size, read_files

LINES = [json.dumps({"n": number}).encode() for number in range(1000)]
TEXT = b"\n".join(LINES) + b"\n"


def read(*paths: Path, chunk_bytes: int = 2000) -> pl.DataFrame:
    return pl.concat([RAW.to_frame(), *read_files(paths, chunk_bytes=chunk_bytes)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", TEXT),
        ("a.jsonl", TEXT[:-1]),
        ("a.json", TEXT),
        ("a.log", TEXT),
        ("a.jsonl.gz", gzip.compress(TEXT, mtime=0)),
        ("a.ndjson.zst", zstandard.compress(TEXT)),
        ("a.json", b"[" + b",".join(LINES) + b"]"),
        ("a.json.gz", gzip.compress(b" [\n" + b",\n".join(LINES) + b"]\n", mtime=0)),
    ],
)
def test_a_document_a_message(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = read(path)
    assert found.schema == RAW
    assert found["value"].to_list() == LINES
    assert found["offset"].to_list() == list(range(1000))
    assert set(found["topic"]) == {name}


@pytest.mark.parametrize("content", [b'{\n "a": 1,\n "b": [1,\n2]}\n', b"[1", b'{"a": 1', b"\x00\xff", b'{"a":1}\n'])
def test_one_document_or_what_is_none_is_one_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read(path)["value"].to_list() == [content]


def test_protobuf_is_one_message_and_an_empty_file_none(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(b"\x0a\n\x01\n")
    (tmp_path / "b.json").write_bytes(b"")
    (tmp_path / "c.ndjson").write_bytes(b"\n\r\n\n")
    found = read(tmp_path / "a.pb", tmp_path / "b.json", tmp_path / "c.ndjson")
    assert found["value"].to_list() == [b"\x0a\n\x01\n"]


def test_blank_lines_keep_their_numbers_and_files_theirs(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"1\n\n3\n")
    (tmp_path / "b.ndjson").write_bytes(b"4")
    found = read(tmp_path / "a.ndjson", tmp_path / "b.ndjson")
    assert found.select("partition", "offset", "value").rows() == [(0, 0, b"1"), (0, 2, b"3"), (1, 0, b"4")]


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))), st.integers(1, 50)
)
def test_no_chunk_size_changes_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "a.ndjson"
    path.write_bytes(b"\n".join(lines))
    found = read(path, chunk_bytes=size)
    assert found.select("offset", "value").rows() == [(number, line) for number, line in enumerate(lines) if line]


def test_arrow_and_parquet_rows_arrive(tmp_path: Path) -> None:
    frame = pl.DataFrame({"event_id": [f"e{number}" for number in range(25_000)], "n": range(25_000)})
    frame.write_ipc(tmp_path / "a.arrow")
    frame.write_ipc_stream(tmp_path / "b.ipc")
    frame.write_parquet(tmp_path / "c.parquet")
    for name in ("a.arrow", "b.ipc", "c.parquet"):
        found = read(tmp_path / name)
        assert found["offset"].to_list() == list(range(found.height))
        assert found["value"].bin.size().max() < 1_000_000  # type: ignore[operator]
        assert pl.concat([pl.read_ipc(io.BytesIO(value)) for value in found["value"]]).equals(frame)


def test_progress_ends_at_the_size_of_all(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(TEXT)
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(TEXT))
    paths = [tmp_path / "a.ndjson", tmp_path / "b.ndjson.gz"]
    seen: list[int] = []
    for _ in read_files(paths, chunk_bytes=1000, consumed=seen.append):
        pass
    assert seen == sorted(seen)
    assert seen[-1] == input_size(paths) == sum(path.stat().st_size for path in paths)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(TEXT)

    monkeypatch.setattr(sys, "stdin", Piped)
    found = read(Path("-"))
    assert found["value"].to_list() == LINES
    assert set(found["topic"]) == {"stdin"}


@pytest.mark.parametrize("name", ["a.json.gz", "a.json.zst", "a.parquet", "a.arrow"])
def test_a_damaged_file_says_what_to_look_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no such thing" * 10)
    with pytest.raises(UnreadableInputError, match=f"{name} cannot be read: .* → look whether it is whole"):
        read(path)


def test_a_cut_gzip_gives_no_silent_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(gzip.compress(TEXT)[:-20])
    with pytest.raises(UnreadableInputError):
        read(path)


def test_a_cut_zstd_gives_no_silent_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.zst"
    path.write_bytes(zstandard.compress(TEXT)[:-20])
    with pytest.raises(UnreadableInputError):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"):
        read(tmp_path / "nothing.json")
