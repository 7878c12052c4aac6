"""Files to a broker and dead letters back again, over both brokers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import polars as pl
import pytest
from kafka import KafkaConsumer

from pipeline.clock import ManualClock
from pipeline.errors import BrokerUnavailableError
from pipeline.events.schema import DEAD_LETTERS
from pipeline.ingest.files import read_files
from pipeline.ingest.produce import ProduceError, produce
from pipeline.ingest.replay import pick, replay
from tests.ingest.bench import Bench, bench

pytestmark = pytest.mark.broker


class HasBootstrap(Protocol):
    @property
    def bootstrap(self) -> str: ...


@pytest.fixture
def made(broker: HasBootstrap, tmp_path: Path) -> Iterator[Bench]:
    with bench(broker.bootstrap, tmp_path) as one:
        yield one


def sent_values(made: Bench) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    consumer = KafkaConsumer(
        made.settings.topics.requests,
        bootstrap_servers=made.settings.kafka.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=1500,
    )
    found = [(record.value, list(record.headers)) for record in consumer]
    consumer.close()
    return found


def lines(path: Path, count: int) -> list[bytes]:
    made = [json.dumps({"n": number}).encode() for number in range(count)]
    path.write_bytes(b"\n".join(made))
    return made


def test_every_line_arrives_and_is_counted(made: Bench, tmp_path: Path) -> None:
    wanted = lines(tmp_path / "a.ndjson", 7000)
    seen: list[int] = []
    confirmed = produce(
        read_files([tmp_path / "a.ndjson"]), made.settings, progress=lambda done, _total: seen.append(done)
    )
    assert confirmed == 7000
    assert seen == sorted(seen)
    assert seen[-1] == 7000
    assert sorted(value for value, _ in sent_values(made)) == sorted(wanted)


def test_lines_are_packed(made: Bench, tmp_path: Path) -> None:
    wanted = lines(tmp_path / "a.ndjson", 250)
    assert produce(read_files([tmp_path / "a.ndjson"]), made.settings, pack=100) == 3
    found = [value for value, _ in sent_values(made)]
    assert sorted(line for value in found for line in value.split(b"\n")) == sorted(wanted)


def test_a_rate_is_kept(made: Bench, tmp_path: Path) -> None:
    lines(tmp_path / "a.ndjson", 1000)
    clock = ManualClock()
    produce(read_files([tmp_path / "a.ndjson"]), made.settings, rate=200, clock=clock, sleep=clock.advance)
    assert clock.monotonic() == pytest.approx(1000 / 200, rel=0.05)


def test_a_message_that_is_too_large_is_an_error_with_a_next_step(made: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps({"text": "x" * 1_100_000}).encode())
    with pytest.raises(ProduceError, match="messages → raise"):
        produce(read_files([tmp_path / "a.json"]), made.settings)


@pytest.mark.kafka
def test_a_compacted_topic_takes_no_message_without_a_key(kafka: HasBootstrap, tmp_path: Path) -> None:
    (tmp_path / "facts.ndjson").write_text('{"account_id": "a"}')
    with bench(kafka.bootstrap, tmp_path) as one:
        topics = one.settings.topics.model_copy(update={"requests": one.settings.topics.accounts})
        with pytest.raises(ProduceError, match="stillwatch accounts import"):
            produce(read_files([tmp_path / "facts.ndjson"]), one.settings.model_copy(update={"topics": topics}))


def test_a_broker_that_is_not_there(made: Bench) -> None:
    kafka = made.settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(BrokerUnavailableError):
        produce(iter([]), made.settings.model_copy(update={"kafka": kafka}))


def letter(made: Bench, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "source_topic": made.settings.topics.requests,
        "source_partition": 0,
        "source_offset": 0,
        "item": -1,
        "reason": "invalid_json",
    }
    return {name: (row | changes).get(name) for name in DEAD_LETTERS}


def letters(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=DEAD_LETTERS)


def test_the_original_is_sent_again_with_its_headers(made: Bench) -> None:
    made.send([b"broken", b'[{"a": 1}, {"b": 2}]'], partition=0, headers=[("stillwatch-format", b"native")])
    result = replay(
        letters(letter(made), letter(made), letter(made, source_offset=1, item=1, payload=b"cut", payload_bytes=900)),
        made.settings,
    )
    assert (result.sent, result.refused) == (2, ())
    found = sent_values(made)
    assert len(found) == 4
    again = {value for value, headers in found if headers == [("stillwatch-format", b"native")]}
    assert again == {b"broken", b'[{"a": 1}, {"b": 2}]', b'{"b": 2}'}


def test_what_is_not_whole_is_refused_with_its_source(made: Bench) -> None:
    whole = {"payload": b'{"a": 1}', "payload_bytes": 8}
    redacted = b'{"prompt":"[redacted]"}'
    result = replay(
        letters(
            letter(made, source_offset=50, **whole),
            letter(made, source_offset=51, payload=b"cut", payload_bytes=900),
            letter(made, source_offset=52, payload=redacted, payload_bytes=len(redacted)),
            letter(made, source_offset=53),
            letter(made, source_topic="stillwatch.events", reason="corrupt_batch", **whole),
        ),
        made.settings,
    )
    assert result.sent == 1
    assert [value for value, _ in sent_values(made)] == [b'{"a": 1}']
    assert [one.offset for one in result.refused] == [51, 52, 53, 0]
    assert f"{made.settings.topics.requests}[0]@51: the broker no longer has the original" in str(result)
    assert "stillwatch.events[0]@0: it does not come from" in str(result)


def test_one_event_is_picked_from_its_message() -> None:
    assert pick(b'[{"a": [1, 2]}, 3]', 0) == b'{"a": [1, 2]}'
    assert pick(b'[{"a": 1}]', 4) is None
    assert pick(b'{"a": 1}\n\n{"b": 2}\n', 1) == b'{"b": 2}'
    assert pick(b'{\n"a": 1}', 0) == b'{\n"a": 1}'
    assert pick(b"ARROW1..", 3) is None
    assert pick(b"ARROW1..", -1) == b"ARROW1.."
