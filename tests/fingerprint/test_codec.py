import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from pipeline.errors import CorruptBatchError
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.codec import DeltaAssembler, Part, encode_delta
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import DISTRIBUTIONS, FEATURES, LINKS, LOOPS, PANES, SUMS, TALLY_OUTPUT_TOKENS, Delta
from pipeline.fingerprint.sketch import tally_counts
from tests.fingerprint.sample import sample

STORED = Path(__file__).parent / "stored"
NOW = datetime(2026, 1, 5, 12, 0, 0, 123457, tzinfo=UTC)


def panes(rows: int) -> pl.DataFrame:
    number = pl.int_range(rows, eager=True)
    return pl.DataFrame(
        {
            "kind": ["account"] * rows,
            "entity_id": number.cast(pl.String),
            "pane": [NOW.replace(second=0, microsecond=0)] * rows,
            **dict.fromkeys(SUMS, number * 7919 % 1009),
            "first_seen": [NOW] * rows,
            "last_seen": [NOW + timedelta(seconds=1)] * rows,
            "tally": [[1, 2]] * rows,
            "ip_sketch": [[]] * rows,
            "prompt_sketch": [[2**64 - 1]] * rows,
        },
        schema=PANES,
    )


def delta(rows: int = 3, *, generation: int = 1, from_offset: int = 10) -> Delta:
    return Delta(
        partition=2,
        generation=generation,
        from_offset=from_offset,
        to_offset=from_offset + 5,
        committed=from_offset,
        watermark=NOW,
        idle=False,
        emitted_at=NOW,
        events=rows,
        duplicates=1,
        late=0,
        panes=panes(rows),
        links=LINKS.to_frame(),
        distributions=distributions(sample(rows, nulls=0)),
        loops=loops(sample(rows, nulls=0)),
    )


def alone(rows: int = 3) -> Delta:
    """A delta of one part."""
    return replace(delta(rows), distributions=DISTRIBUTIONS.to_frame(), loops=LOOPS.to_frame())


def feed(assembler: DeltaAssembler, parts: list[Part], start: int = 0) -> list[Delta]:
    found = [assembler.add(2, start + index, part.header, part.value) for index, part in enumerate(parts)]
    return [item for item in found if item is not None]


def assert_same(left: Delta, right: Delta) -> None:
    nothing = PANES.to_frame()
    assert_frame_equal(left.panes, right.panes)
    assert_frame_equal(left.links, right.links)
    assert_frame_equal(left.distributions, right.distributions)
    assert_frame_equal(left.loops, right.loops)
    assert replace(left, panes=nothing, links=nothing) == replace(right, panes=nothing, links=nothing)


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_a_delta_survives_the_journey_in_parts_under_the_limit(rows: int) -> None:
    parts = encode_delta(delta(rows), max_bytes=20_000)
    assert all(len(part.value) <= 20_000 for part in parts)
    assert (len(parts) > 3) == (rows == 5000)
    assembler = DeltaAssembler("t")
    [found] = feed(assembler, parts)
    assert_same(found, delta(rows))
    assert assembler.resume_offset(2) is None


def test_an_unfinished_delta_is_forgotten_when_its_successor_begins() -> None:
    parts = encode_delta(delta(5000), max_bytes=20_000)
    assembler = DeltaAssembler("t")
    assert feed(assembler, parts[:3], start=100) == []
    assert assembler.resume_offset(2) == 100
    [found] = feed(assembler, parts, start=103)
    assert_same(found, delta(5000))


def test_parts_of_a_zombie_between_those_of_its_successor_harm_neither() -> None:
    old = encode_delta(delta(5000, generation=1), max_bytes=20_000)
    new = encode_delta(delta(5000, generation=2), max_bytes=20_000)
    assembler = DeltaAssembler("t")
    order = [old[0], new[0], old[1], *new[1:]]
    [found] = feed(assembler, order)
    assert found.generation == 2
    assert_frame_equal(found.panes, panes(5000))
    assert assembler.resume_offset(2) is None


def test_damage_is_an_error_that_names_its_place_and_the_next_delta_is_read() -> None:
    assembler = DeltaAssembler("t")
    [part] = encode_delta(alone())
    for header, value in [(None, part.value), (b"{}", part.value), (part.header, b"ARROW1"), (part.header, None)]:
        with pytest.raises(CorruptBatchError, match=r"t\[2\]@7"):
            assembler.add(2, 7, header, value)
    other = encode_delta(delta(5000), max_bytes=20_000)
    with pytest.raises(CorruptBatchError, match="continues nothing"):
        assembler.add(2, 7, other[1].header, other[1].value)
    assert len(feed(assembler, [part])) == 1


@pytest.mark.parametrize(
    "field",
    ["partition", "generation", "from_offset", "to_offset", "committed", "watermark_us", "emitted_at_us", "late"],
)
@pytest.mark.parametrize("absurd", [2**63, -(2**62), 10**30])
def test_a_header_beyond_what_the_store_can_hold_is_damage(field: str, absurd: int) -> None:
    [part] = encode_delta(alone())
    header = json.dumps({**json.loads(part.header), field: absurd}).encode()
    with pytest.raises(CorruptBatchError):
        DeltaAssembler("t").add(2, 7, header, part.value)


@pytest.mark.parametrize("column", ["entity_id", "events", "tally"])
def test_nulls_are_damage_since_the_store_has_no_place_for_them(column: str) -> None:
    [part] = encode_delta(alone())
    sink = io.BytesIO()
    panes(3).with_columns(pl.lit(None, dtype=PANES[column]).alias(column)).write_ipc(sink)
    with pytest.raises(CorruptBatchError, match="nulls in panes"):
        DeltaAssembler("t").add(2, 7, part.header, sink.getvalue())


def stored(version: int) -> list[Part]:
    """What a worker of an older version sent."""
    heads = sorted(STORED.glob(f"delta-{version}-*.json"))
    return [Part(head.read_bytes(), head.with_suffix(".arrow").read_bytes()) for head in heads]


def test_deltas_of_the_first_version_are_read() -> None:
    [found] = feed(DeltaAssembler("t"), stored(1))
    assert (found.events, found.from_offset, found.to_offset) == (3, 10, 15)
    assert (found.panes["events"].sum(), found.links["events"].sum()) == (3, 3)
    assert [sum(tally_counts(tally, TALLY_OUTPUT_TOKENS).values()) for tally in found.panes["tally"]] == [2, 1]
    assert found.distributions.schema == DISTRIBUTIONS
    assert found.distributions.is_empty()
    assert found.loops.schema == LOOPS
    assert found.loops.is_empty()


def test_deltas_of_the_second_version_are_read() -> None:
    [found] = feed(DeltaAssembler("t"), stored(2))
    assert (found.events, found.panes.height, found.distributions["events"].sum()) == (3, 3, 3)
    assert found.panes["tally"].to_list() == [[1 << 12, 2 << 12]] * 3
    assert found.loops.schema == LOOPS
    assert found.loops.is_empty()


def test_deltas_of_the_third_version_are_read() -> None:
    [found] = feed(DeltaAssembler("t"), stored(3))
    panes, links = aggregate(sample(20))
    assert_same(found, replace(delta(20), panes=panes, links=links))


def test_of_another_version_or_a_table_that_a_version_has_not_is_damage() -> None:
    [part, *_, sums, passages] = encode_delta(delta())
    for header, value in (
        ({"version": 5, "table": "loops"}, passages.value),
        ({"version": 0, "table": "distributions"}, sums.value),
        ({"version": 1, "table": "distributions"}, sums.value),
        ({"version": 2, "table": "loops"}, passages.value),
        ({"table": "fingers"}, sums.value),
    ):
        whole = json.dumps({**json.loads(part.header), "parts": 1, **header}).encode()
        with pytest.raises(CorruptBatchError):
            DeltaAssembler("t").add(2, 7, whole, value)
    whole = json.dumps({**json.loads(sums.header), "part": 0, "parts": 1}).encode()
    assert DeltaAssembler("t").add(2, 7, whole, sums.value) is not None


@pytest.mark.parametrize("wrong", [128, -128, 2**62, -(2**63), None])
def test_sums_that_no_prompts_have_are_damage(wrong: int | None) -> None:
    [*_, part, _] = encode_delta(delta())
    frame = DISTRIBUTIONS.to_frame().vstack(
        pl.DataFrame([("a", NOW, 1, [wrong] + [0] * (FEATURES - 1))], schema=DISTRIBUTIONS, orient="row")
    )
    sink = io.BytesIO()
    frame.write_ipc(sink)
    header = json.dumps({**json.loads(part.header), "part": 0, "parts": 1}).encode()
    with pytest.raises(CorruptBatchError, match="no prompts have"):
        DeltaAssembler("t").add(2, 7, header, sink.getvalue())


def test_passages_of_no_events_are_damage() -> None:
    [*_, part] = encode_delta(delta())
    sink = io.BytesIO()
    loops(sample(3, nulls=0)).with_columns(events=pl.lit(0, pl.Int64)).write_ipc(sink)
    header = json.dumps({**json.loads(part.header), "part": 0, "parts": 1}).encode()
    with pytest.raises(CorruptBatchError, match="of no events"):
        DeltaAssembler("t").add(2, 7, header, sink.getvalue())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_bytes_are_damaged_it_is_an_error_or_a_delta(data: st.DataObject) -> None:
    [part] = encode_delta(alone(200))
    value = bytearray(part.value)
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(value)))
    try:
        found = DeltaAssembler("t").add(2, 7, part.header, bytes(value[:cut] if data.draw(st.booleans()) else value))
    except CorruptBatchError:
        return
    assert found is not None
    assert found.panes.schema == PANES
