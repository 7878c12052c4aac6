"""The texts of a file of prompts, one at a time: lines of text, JSON lines, a JSON list, CSV; gzip or zstd of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import msgspec
import pyarrow as pa

from pipeline.errors import InputNotFoundError, UsageError

# Under which names sets of prompts keep their text, the most telling first.
FIELDS: Final = (
    *("prompt", "question", "instruction", "problem", "text", "input", "query", "task", "content"),
    *("goal", "canary"),
)
MAX_ITEMS: Final = 250_000
MAX_ITEM_CHARS: Final = 1_000_000
MAX_DOCUMENT_BYTES: Final = 1 << 28  # of a .json file, which is read whole
_CHUNK_BYTES: Final = 1 << 20
_COMPRESSED: Final[Mapping[str, Literal["gzip", "zstd"]]] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})
_TABLES: Final = frozenset({".parquet", ".arrow", ".feather", ".ipc", ".xlsx", ".zip", ".tar", ".tgz", ".bz2", ".xz"})


class CorpusFileError(UsageError):
    """A file that holds no texts that could be read; says where it fails."""

    exit_code = 65


@dataclass(slots=True)
class Texts:
    """What is read of a file. ``field`` is known once the first text is out, the counts at the end."""

    path: Path
    kind: str  # the ending that says how it is read
    field: str | None = None  # None: a line is a text
    records: int = 0
    without_text: int = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Number of the record, from 1 on, and its text.

        Raises:
            CorpusFileError: it is no text, no JSON or CSV as its name says, has no such field, or is too long.
        """
        return _bounded(self)


def read_texts(path: Path, field_name: str | None = None) -> Texts:
    """The texts of a file, told by its ending; read as they are taken, in bounded memory (a .json list: whole).

    Args:
        path: ``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, or anything else for lines of text; ``.gz``, ``.zst`` too.
        field_name: which field of a record has the text; None: the first of FIELDS that holds text.

    Raises:
        InputNotFoundError: no such file.
        CorpusFileError: the ending says that it is none of these.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file", next_step="name a text, JSON lines, JSON or CSV file")
    kind = _kind(path)
    if kind in _TABLES:
        raise CorpusFileError(
            f"{path}: {kind} is not read", next_step="write it as .jsonl, .csv or lines of text (.gz and .zst too)"
        )
    if field_name is not None and kind not in {*_JSON_LINES, ".json", ".csv"}:
        raise CorpusFileError(
            f"{path}: lines of text have no field {field_name!r}", next_step="leave --field out, or name it .jsonl"
        )
    return Texts(path, kind, field_name)


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSED), "")


def _bounded(texts: Texts) -> Iterator[tuple[int, str]]:
    """Count, check lengths, and turn what a library says into an error about the file."""
    path = texts.path
    told = 0
    try:
        with path.open("rb") as file:
            packed = _COMPRESSED.get(path.suffix.lower())
            content: Any = pa.CompressedInputStream(file, packed) if packed else file
            for number, text in _texts(texts, content):
                texts.records = number
                if len(text) > MAX_ITEM_CHARS:
                    raise CorpusFileError(
                        f"{path}: record {number} has {len(text)} characters; at most {MAX_ITEM_CHARS} are taken",
                        next_step="split it, or leave it out",
                    )
                if not text.strip():
                    texts.without_text += 1
                    continue
                told += 1
                if told > MAX_ITEMS:
                    raise CorpusFileError(
                        f"{path}: more than {MAX_ITEMS} items", next_step="split the file, and add each part by a name"
                    )
                yield number, text
    except UnicodeDecodeError as error:
        raise CorpusFileError(
            f"{path}: no UTF-8 text near record {texts.records + 1} ({error.reason})",
            next_step="name a text file, or convert it: iconv -f latin1 -t utf-8",
        ) from None
    except csv.Error as error:
        raise CorpusFileError(
            f"{path}: no CSV near record {texts.records + 1}: {error}", next_step="mend that line, or write .jsonl"
        ) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise CorpusFileError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            next_step="look whether it is whole, is what its name says, and yours",
        ) from error
    if not told:
        raise CorpusFileError(f"{path}: no text in it", next_step="name a file with a text a line or record")


def _texts(texts: Texts, content: IO[bytes]) -> Iterator[tuple[int, str]]:
    if texts.kind in _JSON_LINES:
        for number, line in _lines(texts.path, content):
            if line.strip():
                yield number, _of_record(texts, number, _decoded(texts.path, number, line))
    elif texts.kind == ".json":
        for number, record in enumerate(_elements(texts.path, content), 1):
            yield number, _of_record(texts, number, record)
    elif texts.kind == ".csv":
        csv.field_size_limit(MAX_ITEM_CHARS)
        rows = csv.DictReader(line + "\n" for _, line in _lines(texts.path, content))
        for number, row in enumerate(rows, 1):
            yield number, _of_record(texts, number, {name: row[name] for name in row if name is not None})
    else:
        yield from _lines(texts.path, content)


def _lines(path: Path, content: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, in bounded memory.

    Raises:
        CorpusFileError: NUL bytes, or a line without end.
        UnicodeDecodeError: no UTF-8.
    """
    number, tail = 0, b""
    while True:
        piece = content.read(_CHUNK_BYTES)
        if b"\0" in piece:
            raise CorpusFileError(f"{path}: binary, no text", next_step="name a text, JSON lines, JSON or CSV file")
        whole, newline, tail = (tail + piece).rpartition(b"\n") if piece else (tail, b"", b"")
        if len(tail) > 4 * MAX_ITEM_CHARS:
            raise CorpusFileError(
                f"{path}: line {number + 1} or a later one is longer than {4 * MAX_ITEM_CHARS} bytes",
                next_step="a line is an item; write one JSON list as .json",
            )
        for line in whole.split(b"\n") if whole or newline else ():
            number += 1
            yield number, line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").rstrip(b"\r").decode()
        if not piece:
            return


def _decoded(path: Path, number: int, line: str) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise CorpusFileError(
            f"{path}: record {number} is no JSON: {error}", next_step="a line is one JSON object; lines of text: .txt"
        ) from None


def _elements(path: Path, content: IO[bytes]) -> Iterable[object]:
    """The elements of a JSON list, one decoded at a time."""
    whole = content.read(MAX_DOCUMENT_BYTES + 1)
    if len(whole) > MAX_DOCUMENT_BYTES:
        raise CorpusFileError(f"{path}: more than {MAX_DOCUMENT_BYTES} bytes", next_step="write it as .jsonl")
    try:
        for element in msgspec.json.decode(whole.removeprefix(b"\xef\xbb\xbf"), type=list[msgspec.Raw]):
            yield msgspec.json.decode(element)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CorpusFileError(
            f"{path}: no JSON list: {error}", next_step="write one list of objects or texts, or a line each as .jsonl"
        ) from None


def _of_record(texts: Texts, number: int, record: object) -> str:
    """The text of one record; empty where the field is missing or null."""
    if isinstance(record, str):
        return record
    if not isinstance(record, dict):
        raise CorpusFileError(
            f"{texts.path}: record {number} is {_what(record)}", next_step="records are texts, or objects with a text"
        )
    if texts.field is None:
        texts.field = next(
            (name for name in FIELDS if isinstance(record.get(name), str) and record[name].strip()), None
        )
    if texts.field is None or (number == 1 and texts.field not in record):
        wanted = f"no field {texts.field!r}" if texts.field else f"none of the fields {', '.join(FIELDS)} holds text"
        names = ", ".join(sorted(map(str, record))[:20]) or "none"
        raise CorpusFileError(
            f"{texts.path}: record {number}: {wanted}; it has {names}", next_step="say which has the text: --field NAME"
        )
    value = record.get(texts.field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusFileError(
            f"{texts.path}: record {number}: {texts.field!r} is {_what(value)}, not text",
            next_step="say which field has the text: --field NAME",
        )
    return value


def _what(value: object) -> str:
    match value:
        case bool() | None:
            return "true, false or null"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case str():
            return "a text"
        case _:
            return "an object"
