from __future__ import annotations

from datetime import timedelta
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.clock import ManualClock
from pipeline.config import WorkerSettings
from pipeline.config.tree import LinkedKind
from pipeline.events.cues import KINDS
from pipeline.fingerprint.aggregate import aggregate, aggregate_each
from pipeline.fingerprint.batch import ENTITIES
from pipeline.fingerprint.distributions import distributions, merge_distributions
from pipeline.fingerprint.hashing import event_keys, hash_text
from pipeline.fingerprint.loops import loops, merge_loops
from pipeline.fingerprint.merge import merge_links, merge_panes
from pipeline.fingerprint.partition import PartitionState
from pipeline.fingerprint.schema import (
    FRAGMENTS_KEPT,
    LINKS,
    PANES,
    SKETCH_SIZE,
    SUMS,
    TALLY_INPUT_TOKENS,
    TALLY_LANGUAGE,
    TALLY_OUTPUT_TOKENS,
    TALLY_REQUEST_KIND,
)
from pipeline.fingerprint.sketch import LANGUAGES, sketch_distinct, tally_counts, tally_quantile
from tests.fingerprint.sample import START, events, sample

ENTITY_COLUMNS = {
    "account": pl.col("account_id"),
    "api_key": pl.col("api_key_id"),
    "end_user": pl.col("user_id"),
    "client": pl.col("client"),
    "network": pl.col("network"),
}


def one(frame: pl.DataFrame, **where: str) -> dict[str, object]:
    return frame.filter(**where).row(0, named=True)


@pytest.mark.parametrize("kind", ENTITY_COLUMNS)
def test_sums_are_those_of_a_plain_group_by(kind: str) -> None:
    frame = sample(700, seed=3)

    def yes(expression: pl.Expr) -> pl.Expr:
        return expression.cast(pl.Int64).fill_null(0).sum()

    col = pl.col
    expected = (
        frame.filter(ENTITY_COLUMNS[kind].is_not_null())
        .group_by(entity_id=ENTITY_COLUMNS[kind], pane=col("timestamp").dt.truncate("1m"))
        .agg(
            events=pl.len().cast(pl.Int64),
            errors=yes(col("status") >= 400),
            rate_limited=yes(col("status") == 429),
            refused=yes(col("refused")),
            input_tokens=yes(col("input_tokens")),
            output_tokens=yes(col("output_tokens")),
            cached_tokens=yes(col("cached_tokens")),
            reasoning_tokens=yes(col("reasoning_tokens")),
            input_tokens_sq=yes(col("input_tokens") ** 2),
            output_tokens_sq=yes(col("output_tokens") ** 2),
            latency_ms=yes(col("latency_ms")),
            latency_events=col("latency_ms").count().cast(pl.Int64),
            single_turn=yes(col("message_count") <= 2),
            tool_events=yes(col("tool_count") > 0),
            streamed=yes(col("stream")),
            sampled_n=yes(col("n") > 1),
            logprobs=yes(col("logprobs")),
            seeded=col("seed").count().cast(pl.Int64),
            capped=(
                (col("output_tokens") >= col("max_tokens")).fill_null(value=False)
                | (col("finish_reason") == "length").fill_null(value=False)
            )
            .cast(pl.Int64)
            .sum(),
            first_seen=col("timestamp").min(),
            last_seen=col("timestamp").max(),
        )
        .sort("entity_id", "pane")
    )
    got = aggregate(frame)[0].filter(kind=kind).select(expected.columns)
    assert set(SUMS) <= set(expected.columns)
    assert_frame_equal(got, expected)


def test_every_kind_and_link_is_there_and_in_order() -> None:
    panes, links = aggregate(sample(400))
    assert panes.schema == PANES
    assert links.schema == LINKS
    assert set(panes["kind"]) == {*ENTITY_COLUMNS, "template", "system_prompt", "reasoning_blob"}
    assert set(links.select("source_kind", "target_kind").unique().iter_rows()) == {
        *(
            ("account", target)
            for target in (*ENTITY_COLUMNS, "template", "system_prompt", "reasoning_blob", "fragment", "model", "asn")
            if target != "account"
        ),
        ("api_key", "network"),
        ("api_key", "client"),
    }
    assert panes.equals(panes.sort("kind", "entity_id", "pane"))
    assert "ffffffffffffffff" in panes.filter(kind="system_prompt")["entity_id"]
    assert set(panes.filter(kind="template")["entity_id"]) == {"0000000000000005", "8000000000000000"}
    assert set(links.filter(target_kind="asn")["target_id"]) == {"64500", "64501"}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 99)), max_size=5))
def test_shares_aggregated_together_are_as_each_alone(shares: list[tuple[int, int]]) -> None:
    frames = [sample(rows, seed=seed, span_s=9000) for rows, seed in shares]
    for together, alone in zip(aggregate_each(frames), map(aggregate, frames), strict=True):
        assert together[0].equals(alone[0])
        assert together[1].equals(alone[1])


@given(st.sets(st.sampled_from(get_args(LinkedKind))))
def test_what_is_not_told_apart_is_left_out_and_the_rest_stays(kinds: set[str]) -> None:
    panes, links = aggregate(sample(200, span_s=9000))
    [(some_panes, some_links)] = aggregate_each([sample(200, span_s=9000)], kinds)
    assert some_panes.equals(panes.filter(pl.col("kind").is_in({"account", *kinds})))
    of_kinds = pl.col("source_kind").is_in({"account", *kinds}) & pl.col("target_kind").is_in(kinds)
    assert some_links.equals(links.filter(of_kinds))


def test_the_settings_name_every_entity() -> None:
    assert {"account", *get_args(LinkedKind)} == ENTITIES


def test_a_worker_tells_apart_what_its_settings_say() -> None:
    state = PartitionState(0, 0, WorkerSettings(entities=("network",)), ManualClock())
    state.add(0, sample(100))
    delta = state.emit(generation=1, committed=0)
    assert delta is not None
    assert set(delta.panes["kind"]) == {"account", "network"}
    assert set(delta.links["target_kind"]) == {"network"}


def test_links_are_those_of_a_plain_group_by() -> None:
    frame = sample(500, span_s=9000)
    expected = (
        frame.drop_nulls("network")
        .group_by(hour=pl.col("timestamp").dt.truncate("1h"), source_id="account_id", target_id="network")
        .agg(
            events=pl.len().cast(pl.Int64),
            output_tokens=pl.col("output_tokens").sum(),
            first_seen=pl.col("timestamp").min(),
            last_seen=pl.col("timestamp").max(),
        )
        .sort("source_id", "target_id", "hour")
    )
    got = aggregate(frame)[1].filter(source_kind="account", target_kind="network").select(expected.columns)
    assert_frame_equal(got, expected)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 120),
    seed=st.integers(0, 2**31),
    nulls=st.sampled_from([0.0, 0.4, 1.0]),
    data=st.data(),
)
def test_shuffled_split_and_regrouped_events_give_the_same_frames(
    rows: int, seed: int, nulls: float, data: st.DataObject
) -> None:
    frame = sample(rows, seed=seed, nulls=nulls)
    panes, links = aggregate(frame)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed % 1000) if rows else frame
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=6)))
    pieces = [shuffled[start:stop] for start, stop in zip([0, *cuts], [*cuts, rows], strict=True)]
    parts = [(*aggregate(piece), distributions(piece), loops(piece)) for piece in pieces]
    # Any merge tree: take two at random, put their merger back.
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        merged = (merge_panes(left[0], right[0]), merge_links(left[1], right[1]))
        parts.append((*merged, merge_distributions(left[2], right[2]), merge_loops(left[3], right[3])))
    assert_frame_equal(merge_panes(parts[0][0]), panes)
    assert_frame_equal(merge_links(parts[0][1]), links)
    assert_frame_equal(merge_distributions(parts[0][2]), distributions(frame))
    assert_frame_equal(merge_loops(parts[0][3]), loops(frame))


def test_merging_nothing_is_nothing() -> None:
    assert merge_panes().schema == PANES
    assert merge_links().schema == LINKS
    assert aggregate(sample(0))[0].is_empty()


def test_sketches_hold_the_smallest_hashes_and_only_for_accounts_and_keys() -> None:
    count = 500
    frame = events(
        {
            "event_id": [str(row) for row in range(count)],
            "timestamp": [START] * count,
            "account_id": ["a"] * count,
            "client": ["c"] * count,
            "ip": [f"10.1.{row // 250}.{row % 250}" for row in range(count)],
        }
    )
    panes, _ = aggregate(frame)
    sketch = one(panes, kind="account")["ip_sketch"]
    assert sketch == sorted(hash_text(frame["ip"]).to_list())[:SKETCH_SIZE]
    assert one(panes, kind="client")["ip_sketch"] == []
    assert sketch_distinct(sketch) == pytest.approx(count, rel=0.5)
    assert sketch_distinct(sketch[:7]) == 7


def test_hashes_are_the_same_in_every_version() -> None:
    # Stored sketches and ids would stop matching new ones if these moved.
    assert hash_text(pl.Series(["10.0.0.0", None])).to_list() == [9414416125090347583, None]
    frame = events({"event_id": ["e1", "e1", "e2"], "account_id": ["a", "b", "a"], "timestamp": [START] * 3})
    assert event_keys(frame).tolist() == EVENT_KEYS


EVENT_KEYS = [4473787759043436663, 15147687358078019185, 1650574513992901869]


def test_tallies_are_log2_histograms() -> None:
    tokens = [0, 1, 2, 3, 4, 7, 8, 1000]
    frame = events(
        {
            "event_id": [str(row) for row in range(8)],
            "timestamp": [START + timedelta(seconds=row) for row in range(8)],
            "account_id": ["a"] * 8,
            "input_tokens": tokens,
            "language": ["en", "en", "zh", None, "tlh", "en", "en", "en"],
            "request_kind": ["ordinary", *["rubric_grading"] * 3, None, "of-a-newer-version", "ordinary", "ordinary"],
        }
    )
    tally = one(aggregate(frame)[0], kind="account")["tally"]
    assert isinstance(tally, list)
    assert tally_counts(tally, TALLY_INPUT_TOKENS) == {0: 1, 1: 1, 2: 2, 3: 2, 4: 1, 10: 1}
    assert tally_counts(tally, TALLY_OUTPUT_TOKENS) == {}
    assert tally_counts(tally, TALLY_LANGUAGE) == {0: 1, LANGUAGES.index("en"): 5, LANGUAGES.index("zh"): 1}
    assert tally_counts(tally, TALLY_REQUEST_KIND) == {0: 3, KINDS.index("rubric_grading"): 3}
    assert tally_quantile(tally, TALLY_INPUT_TOKENS, 0.5) == pytest.approx(4, abs=1)
    assert tally_quantile(tally, TALLY_INPUT_TOKENS, 1.0) == 1024
    assert tally_quantile(tally, TALLY_OUTPUT_TOKENS, 0.5) is None


def test_language_positions_are_part_of_the_format() -> None:
    assert len(set(LANGUAGES)) == len(LANGUAGES) <= 255
    assert (LANGUAGES[1], LANGUAGES[2], LANGUAGES.index("Latn")) == ("en", "zh", 77)


def test_a_blob_twice_in_one_event_counts_once() -> None:
    frame = events(
        {
            "event_id": ["1"],
            "timestamp": [START],
            "account_id": ["a"],
            "reasoning_blobs": pl.Series([[9, 9, None]], dtype=pl.List(pl.UInt64)),
        }
    )
    panes, links = aggregate(frame)
    assert panes.filter(kind="reasoning_blob").select("entity_id", "events").rows() == [("0000000000000009", 1)]
    assert links.filter(target_kind="reasoning_blob")["events"].to_list() == [1]


def test_times_before_1970_and_years_apart_fall_into_their_panes() -> None:
    times = [START.replace(year=1969), START, START.replace(year=2030)]
    frame = events({"event_id": ["1", "2", "3"], "timestamp": times, "account_id": ["a"] * 3})
    panes, links = aggregate(frame)
    assert panes["pane"].to_list() == [when.replace(second=0) for when in times]
    assert panes["events"].sum() == 3
    assert aggregate(frame[1:])[1].equals(links[1:])


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_of_an_accounts_fragments_the_smallest_of_an_hour_count_whole(parts: int) -> None:
    hashes = [[number % 300, 1000 + number] for number in range(900)]
    events = sample(900).with_columns(
        pl.Series("fragments", hashes, dtype=pl.List(pl.UInt64)),
        pl.lit("a").alias("account_id"),
        pl.lit(sample(1)["timestamp"][0]).alias("timestamp"),
    )
    links = pl.concat(aggregate(events[part::parts])[1].filter(target_kind="fragment") for part in range(parts))
    merged = links.group_by("target_id").agg(pl.col("events").sum()).sort("target_id").head(FRAGMENTS_KEPT)
    assert merged["target_id"].to_list() == [f"{number:016x}" for number in range(FRAGMENTS_KEPT)]
    assert set(merged["events"]) == {3}
