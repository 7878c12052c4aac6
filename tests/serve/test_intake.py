from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from pipeline.config import TopicSettings
from pipeline.events.dead_letter import encode_dead_letters
from pipeline.events.schema import DEAD_LETTERS
from pipeline.fingerprint.codec import HEADER, encode_delta
from pipeline.fingerprint.schema import DISTRIBUTIONS, LINKS, LOOPS, PANES, Delta
from pipeline.serve.intake import Intake, IntakeReader

TOPICS = TopicSettings()
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(slots=True)
class Record:
    topic: str
    offset: int
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int = 0
    key: bytes | None = None


def delta_record(offset: int) -> Record:
    empty = PANES.to_frame(), LINKS.to_frame(), DISTRIBUTIONS.to_frame(), LOOPS.to_frame()
    delta = Delta(0, 1, offset, offset + 1, 0, NOW, False, NOW, 0, 0, 0, *empty)
    [part] = encode_delta(delta)
    return Record(TOPICS.fingerprints, offset, part.value, [(HEADER, part.header)])


def test_messages_of_all_topics_become_one_intake() -> None:
    letter = pl.DataFrame([{"source_topic": "t", "reason": "invalid_json", "seen_at": NOW}], schema=DEAD_LETTERS)
    intake = IntakeReader(TOPICS).read(
        [
            delta_record(4),
            Record(TOPICS.dead_letter, 2, encode_dead_letters(letter)),
            Record(TOPICS.accounts, 9, b'{"account_id": "a", "plan": "pro"}'),
            Record(TOPICS.accounts, 10, None),
        ]
    )
    assert [delta.from_offset for delta in intake.deltas] == [4]
    assert intake.dead_letters["reason"].to_list() == ["invalid_json"]
    assert intake.accounts == [{"account_id": "a", "plan": "pro"}]
    assert intake.offsets == {
        (TOPICS.fingerprints, 0): 5,
        (TOPICS.dead_letter, 0): 3,
        (TOPICS.accounts, 0): 11,
    }


def test_damaged_messages_are_reported_and_passed_over() -> None:
    intake = IntakeReader(TOPICS).read(
        [
            Record(TOPICS.fingerprints, 0, b"no arrow", [(HEADER, b"{}")]),
            Record(TOPICS.fingerprints, 1, b"no header"),
            delta_record(2),
            Record(TOPICS.dead_letter, 0, b"no arrow"),
            Record(TOPICS.accounts, 0, b"[1]"),
            Record(TOPICS.accounts, 1, b"\xff"),
            Record(TOPICS.accounts, 2, b'"' + b"x" * 70_000 + b'"'),
        ]
    )
    assert [(error.topic, error.offset) for error in intake.corrupt] == [
        (TOPICS.fingerprints, 0),
        (TOPICS.fingerprints, 1),
        (TOPICS.dead_letter, 0),
        (TOPICS.accounts, 0),
        (TOPICS.accounts, 1),
        (TOPICS.accounts, 2),
    ]
    assert len(intake.deltas) == 1
    assert intake.offsets[TOPICS.fingerprints, 0] == 3


def test_an_unfinished_delta_is_read_again_after_a_restart() -> None:
    record = delta_record(7)
    [(name, header)] = record.headers
    record.headers = [(name, header.replace(b'"parts":1', b'"parts":2'))]
    intake = IntakeReader(TOPICS).read([delta_record(6), record])
    assert intake.offsets[TOPICS.fingerprints, 0] == 7


def test_nothing_read_is_empty() -> None:
    assert Intake().empty
