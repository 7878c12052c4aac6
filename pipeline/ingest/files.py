"""Files as raw messages: JSON, NDJSON, gzip and zstd of them, Arrow, Parquet, OTLP protobuf, standard input."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputNotFoundError, StillwatchError
from pipeline.ingest.outbound import halves

CHUNK_BYTES: Final = 8 << 20
ARROW_ROWS: Final = 10_000  # of a message, halved until it fits
ARROW_MESSAGE_BYTES: Final = 900_000
BINARY: Final = frozenset({".pb", ".bin", ".otlp"})
LINES: Final = frozenset({".jsonl", ".ndjson"})
ARROW: Final = frozenset({".arrow", ".ipc", ".feather"})
COMPRESSED: Final[dict[str, Literal["gzip", "zstd"]]] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
STDIN: Final = Path("-")

Chunk = tuple[int, Sequence[bytes]]  # number of the first message, messages


class UnreadableInputError(StillwatchError):
    """A file that is there and cannot be read as what its name says."""

    exit_code = 65


def read_files(
    paths: Iterable[Path], *, chunk_bytes: int = CHUNK_BYTES, consumed: Callable[[int], None] | None = None
) -> Iterator[pl.DataFrame]:
    """Frames of RAW, about ``chunk_bytes`` each, in the order of the files.

    ``topic`` is the file's name, ``partition`` its index, ``offset`` the number of the message in it: a line of NDJSON
    (blank ones are numbered and left out), an element of a JSON array, otherwise the whole file; of Arrow and Parquet,
    a message of some thousand rows. What a message is in is told from its content later. ``consumed`` is called with
    the bytes read so far, as ``input_size`` counts them.

    Raises:
        InputNotFoundError: a file is not there.
        UnreadableInputError: it is damaged, or may not be read.
    """
    before = 0
    for index, path in enumerate(paths):
        try:
            with _opened(path) as file:
                for first, messages in _messages(path, file, chunk_bytes):
                    yield _frame(path, index, first, messages)
                    if consumed is not None:
                        consumed(before + _position(file))
        except FileNotFoundError as error:
            raise InputNotFoundError(f"{path}: no such file", next_step="name a file that is there, or -") from error
        except (OSError, pa.ArrowInvalid) as error:
            raise UnreadableInputError(
                f"{path} cannot be read: {error}",
                next_step="look whether it is whole, is what its name says, and yours",
            ) from error
        before += _size(path)
        if consumed is not None:
            consumed(before)


def input_size(paths: Iterable[Path]) -> int:
    """Bytes of all files together; standard input counts 0."""
    return sum(_size(path) for path in paths)


def _messages(path: Path, file: Any, chunk_bytes: int) -> Iterator[Chunk]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-1] if suffixes else ""
    if kind in ARROW:
        return _arrow(_arrow_batches(file))
    if kind == ".parquet":
        return _arrow(pq.ParquetFile(file).iter_batches(ARROW_ROWS))
    content: Any = file
    if kind in COMPRESSED:
        # Python's own readers of zstd end silently where a file was cut off.
        content = pa.CompressedInputStream(file, COMPRESSED[kind])
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")
    if kind in BINARY:
        return iter([(0, [content.read()])])
    if kind in LINES:
        return _lines(content, b"", chunk_bytes)
    return _json(content, chunk_bytes)


def _json(file: IO[bytes], chunk_bytes: int) -> Iterator[Chunk]:
    """NDJSON where the first line is a document of its own and more follows; else one document."""
    head = file.read(chunk_bytes)
    first, newline, rest = head.lstrip().partition(b"\n")
    if newline and rest.strip() and _is_json(first):
        yield from _lines(file, head, chunk_bytes)
        return
    whole = head + file.read()
    if not whole.strip():
        return
    yield 0, _elements(whole)


def _elements(whole: bytes) -> Sequence[bytes]:
    # An array may be larger than a message may be; its elements travel alone.
    if whole.lstrip().startswith(b"["):
        try:
            return [bytes(element) for element in msgspec.json.decode(whole, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, RecursionError):
            return [whole]  # the decoder says what is wrong with it
    return [whole]


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(file: IO[bytes], head: bytes, chunk_bytes: int) -> Iterator[Chunk]:
    number = 0
    tail = head
    while True:
        read = file.read(chunk_bytes)
        whole, newline, tail = (tail + read).rpartition(b"\n") if read else (tail, b"", b"")
        if whole or newline:
            lines = whole.split(b"\n")
            yield number, lines
            number += len(lines)
        if not read:
            return


def _arrow_batches(file: Any) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        yield from pa.ipc.open_stream(file)
    else:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


def _arrow(batches: Iterable[pa.RecordBatch]) -> Iterator[Chunk]:
    number = 0
    for batch in batches:
        frame = pl.DataFrame(pl.from_arrow(batch))
        for piece in frame.iter_slices(ARROW_ROWS):
            for part, value in halves(piece, ARROW_MESSAGE_BYTES):
                yield number, [value if value is not None else _ipc(part)]
                number += 1


def _ipc(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.write_ipc(sink, compression="zstd")
    return sink.getvalue()


def _frame(path: Path, index: int, first: int, messages: Sequence[bytes]) -> pl.DataFrame:
    frame: pl.DataFrame = (
        pl.DataFrame({"value": pl.Series(messages, dtype=pl.Binary)})
        .with_row_index("offset", offset=first)
        .filter(pl.col("value").bin.size() > 0, pl.col("value") != b"\r")
        .select(
            pl.lit("stdin" if path == STDIN else path.name, pl.String).alias("topic"),
            pl.lit(index, pl.Int32).alias("partition"),
            pl.col("offset").cast(pl.Int64),
            pl.lit(None, pl.String).alias("format"),
            "value",
            pl.lit(0.0, pl.Float64).alias("received_s"),
        )
    )
    return frame


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


def _position(file: IO[bytes]) -> int:
    return file.tell() if file.seekable() else 0


def _size(path: Path) -> int:
    try:
        return 0 if path == STDIN else os.stat(path).st_size  # noqa: PTH116 - a file that is gone counts nothing here
    except OSError:
        return 0
