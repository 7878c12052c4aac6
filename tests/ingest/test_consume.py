"""What a poll may take: as many bytes as there is room for, whatever the size of the messages."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.structs import TopicPartition

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.config.tree import IngestSettings
from pipeline.ingest.consume import FIRST_RECORDS, POLL_BYTES, Member

LIMIT_BYTES = 1_000_000


class Backlog:
    """Stands for a consumer that always has as many messages of a size as it is asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[int] = []

    def paused(self) -> set[TopicPartition]:
        return set()

    def poll(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[SimpleNamespace]]:
        assert timeout_ms
        self.asked.append(max_records)
        one = SimpleNamespace(offset=0, headers=(), value=b"x" * self.size)
        return {TopicPartition("api.requests", 0): [one] * max_records}


@pytest.mark.parametrize("size", [100, 10_000, 50_000])
def test_the_first_poll_takes_no_more_than_fits_either(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    backlog = Backlog(size)
    monkeypatch.setattr(Member, "_made", lambda _self: backlog)
    settings = Settings(ingest=IngestSettings(buffer_bytes=LIMIT_BYTES))
    member = Member(settings, ManualClock(), lambda _gone: None)
    for _ in range(3):
        assert member.poll(0)["value"].bin.size().sum() <= LIMIT_BYTES
    full = min(settings.ingest.poll_records, LIMIT_BYTES // size)
    assert backlog.asked == [FIRST_RECORDS, full, full]


def test_a_poll_takes_no_more_than_is_decoded_at_once_however_much_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backlog = Backlog(1 << 20)
    monkeypatch.setattr(Member, "_made", lambda _self: backlog)
    member = Member(Settings(), ManualClock(), lambda _gone: None)
    for _ in range(3):
        member.poll(0)
    assert backlog.asked == [FIRST_RECORDS, 16, 16]
    assert FIRST_RECORDS <= POLL_BYTES >> 20
