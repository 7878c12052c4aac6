"""Damaged Arrow is an error, whatever byte is wrong: it never ends the process, as an absurd length once did."""

import contextlib
import io

import polars as pl
import pytest

from pipeline.events.ipc import ArrowError, read_frame, write_frame
from tests.events.frames import decode, event

FRAME = pl.DataFrame(
    {"event_id": ["a", "b"], "messages": [[{"role": "user", "content": "hi"}], None], "status": [1, 2]}
)


def _written(*, stream: bool | None) -> bytes:
    if stream is None:
        return write_frame(FRAME)
    sink = io.BytesIO()
    if stream:
        FRAME.write_ipc_stream(sink, compression="zstd")
    else:
        FRAME.write_ipc(sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize("stream", [False, True, None])
def test_every_byte_may_be_wrong(stream: bool) -> None:
    whole = _written(stream=stream)
    assert read_frame(whole).equals(FRAME)
    refused = 0
    for position in range(len(whole)):
        for byte in (0x00, 0x7F, 0xFF):
            damaged = whole[:position] + bytes([byte]) + whole[position + 1 :]
            with contextlib.suppress(ArrowError):
                read_frame(damaged, ["event_id"])
            try:
                read_frame(damaged)
            except ArrowError:
                refused += 1
    assert refused > len(whole) // 4


@pytest.mark.parametrize("stream", [False, True, None])
def test_some_columns_are_as_in_all_of_them(stream: bool | None) -> None:
    whole = _written(stream=stream)
    assert read_frame(whole, ["status", "event_id"]).equals(FRAME.select("status", "event_id"))
    with pytest.raises(ArrowError):
        read_frame(whole, ["status", "nothing"])


def test_a_batch_that_was_cut_anywhere_is_refused() -> None:
    whole = write_frame(FRAME)
    for length in range(len(whole)):
        with pytest.raises(ArrowError):
            read_frame(whole[:length])


@pytest.mark.parametrize("stream", [False, True])
def test_an_absurd_length_spoils_only_its_message(stream: bool) -> None:
    whole = _written(stream=stream)
    # A compressed buffer begins with its length uncompressed, behind it the magic of zstd.
    at = whole.index(b"\x28\xb5\x2f\xfd") - 8 if b"\x28\xb5\x2f\xfd" in whole else len(whole) // 2
    damaged = whole[:at] + b"\xff\xff\xff\xff\xff\xff\xff\x3f" + whole[at + 8 :]
    decoded = decode(damaged, event())
    assert decoded.events["event_id"].to_list() == ["e1"]
    assert decoded.dead["reason"].to_list() == ["invalid_arrow"]
