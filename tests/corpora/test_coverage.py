"""How much of a known set an account sent, against an oracle that reads the events once, by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.analyze import analyze
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.corpora import KnownSet, known_set
from pipeline.detect.discoveries import FEWEST_HEAVY
from pipeline.detect.reference import STEEPNESS, load_reference
from pipeline.fingerprint.schema import FRAGMENTS_KEPT
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from pipeline.rules.load import load_directory
from pipeline.serve.corpora import AddCorpus
from pipeline.serve.facts import change_corpus
from pipeline.sketch import sketch_many
from pipeline.store import Store
from pipeline.testing import START, Bench
from tests.corpora.sets import events, items

SET = items(600)
RULE = load_directory(sql_dir("rules")).rules["known_set_in_shards"]
WRAP = "Work through this task one step at a time, and show every single step before you answer it.\n{}\nBe brief."
SPAN = {"since": START - timedelta(hours=1), "until": START + timedelta(hours=9)}
COVERAGE = "from corpus_coverage($since, $until) order by account_id, corpus"


def native(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with moments, in order of time."""
    ordered = sorted(made, key=lambda event: event["at_s"])
    return [
        {"timestamp": START + timedelta(seconds=event["at_s"]), **{k: v for k, v in event.items() if k != "at_s"}}
        for event in ordered
    ]


def traffic() -> list[dict[str, Any]]:
    dice = random.Random(4)
    some = dice.sample(SET, 30)
    return native(
        [
            *events("in order", SET[100:140]),
            *events("any order", some),
            *events("backwards", SET[:20][::-1]),
            *events("all of it, wrapped, in two hours", [WRAP.format(text) for text in SET], step_s=12),
            *events("diluted", [text for n in range(40) for text in (WRAP.format(SET[n]), *items(3, seed=n + 50))]),
            *events("twice", [*SET[:5], *SET[:5]], step_s=900),
            *events("nothing of it", items(40, seed=9)),
            *events("one", SET[7:8]),
        ]
    )


def oracle(made: list[dict[str, Any]], known: KnownSet) -> dict[str, dict[str, Any]]:
    """Coverage by its definition: a loop over events, then over accounts."""
    marks = {(template, f"{value:016x}"): item for item, template, value in known.marks.iter_rows()}
    least = sorted(
        min(f"{value:016x}" for value in part["hash"])
        for _, part in known.marks.filter(~known.marks["template"]).group_by("item")
    )
    said: dict[tuple[str, int], dict[tuple[bool, str], list[Any]]] = defaultdict(lambda: defaultdict(list))
    totals: dict[str, int] = defaultdict(int)
    for event, made_of in zip(made, sketch_many([{"prompt": event["prompt"]} for event in made]), strict=True):
        content = made_of["content"]
        hour = int((event["timestamp"] - START).total_seconds() // 3600)
        totals[event["account_id"]] += 1
        for mark in [(True, content["template_hash"]), *((False, value) for value in content["fragments"])]:
            said[event["account_id"], hour][mark].append(event["timestamp"])
    seen: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for (account, _), things in said.items():
        kept = sorted(value for template, value in things if not template)[:FRAGMENTS_KEPT]
        bound = kept[-1] if len(kept) == FRAGMENTS_KEPT else "g"
        hourly: dict[int, int] = defaultdict(int)
        for (template, value), moments in things.items():
            item = marks.get((template, value))
            if item is None or (not template and value > bound):
                continue
            found = seen[account].setdefault(item, {"bound": "", "events": 0, "first": moments[0]})
            found["first"] = min(found["first"], *moments)
            found["bound"] = found["bound"] if template else max(found["bound"], bound)
            hourly[item] = max(hourly[item], len(moments))
        for item, count in hourly.items():
            seen[account][item]["events"] += count
    return {
        account: {
            "items": len(found),
            "requests": sum(item["events"] for item in found.values()),
            "all_requests": totals[account],
            "estimated": max(
                len(found),
                sum(
                    len(least) / sum(value <= item["bound"] for value in least)
                    for item in found.values()
                    if item["bound"]
                ),
            ),
        }
        for account, found in seen.items()
    }


def test_coverage_is_what_an_oracle_by_hand_counts() -> None:
    known = known_set("made", enumerate(SET, 1))
    made = traffic()
    with Bench() as bench:
        bench.add_corpus("made", SET)
        bench.add_events(made)
        found = {row["account_id"]: row for row in bench.sql(COVERAGE, SPAN).iter_rows(named=True)}
    expected = oracle(made, known)
    assert set(found) == set(expected) == {event["account_id"] for event in made} - {"nothing of it"}
    for account, row in expected.items():
        told = found[account]
        assert (told["items"], told["requests"], told["all_requests"]) == (
            row["items"], row["requests"], row["all_requests"],
        ), account  # fmt: skip
        assert told["estimated_items"] == pytest.approx(min(row["estimated"], 600), abs=0.06), account
        assert told["findable"] == known.findable == 600
        assert told["share"] == pytest.approx(row["items"] / 600, abs=1e-4)
    assert [found[name]["in_order"] for name in ("in order", "backwards", "one")] == [1, -1, None]
    assert abs(found["any order"]["in_order"]) < 0.5
    assert [found[name]["items"] for name in ("in order", "any order", "twice", "one")] == [40, 30, 5, 1]
    assert found["twice"]["requests"] == 10


def test_where_few_fragments_are_kept_the_rest_is_estimated() -> None:
    """300 requests an hour leave 64 fragments: about 50 items are seen, and all are meant."""
    with Bench() as bench:
        bench.add_corpus("made", SET)
        bench.add_events(native(events("half of it", [WRAP.format(text) for text in SET[:300]], step_s=11)))
        [row] = bench.sql(COVERAGE, SPAN).to_dicts()
    assert row["items"] < 130
    assert row["estimated_items"] == pytest.approx(300, rel=0.25)


def test_two_sets_do_not_mix() -> None:
    other = items(50, seed=2)
    with Bench() as bench:
        bench.add_corpus("made", SET)
        bench.add_corpus("other", other)
        bench.add_events(native([*events("a", SET[:9]), *events("a", other[:4], start_s=600)]))
        found = bench.sql(COVERAGE, SPAN).select("corpus", "items", "all_requests").rows()
    assert found == [("made", 9, 13), ("other", 4, 13)]


def shards() -> list[dict[str, Any]]:
    made = [event for n in range(20) for event in events(f"shard-{n}", SET[n::20], step_s=170, start_s=37 * n)]
    return native([*made, *events("whole", SET, step_s=14)])


def facts_of_shards() -> list[dict[str, object]]:
    """As old as can be, and paid for by a card each."""
    old = "2025-06-01T00:00:00Z"
    return [{"account_id": f"shard-{n}", "created_at": old, "payment_hash": f"card-{n}"} for n in range(20)]


def written(path: Path, made: list[dict[str, Any]], first: int = 0) -> Path:
    rows = [{"event_id": f"e{first + n}", "model": "m", **event} for n, event in enumerate(made)]
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows) + b"\n")
    return path


FOUND = (
    "select account_id, group_key, strength, reason, group_reason, window_end, first_seen, last_seen from signals "
    "where rule_id = 'known_set_in_shards' order by all"
)


def signals(store: Path, sql: str = FOUND) -> list[tuple[Any, ...]]:
    with Store.open(store, Settings().store, clock=ManualClock(START)) as opened:
        return opened.connection.execute(sql).fetchall()


def test_the_same_is_found_however_it_is_read_and_whenever_the_set_is_told(tmp_path: Path) -> None:
    made, settings = shards(), Settings()
    clock = ManualClock(START + timedelta(hours=9))
    facts = facts_of_shards()
    known = AddCorpus(known_set("made", enumerate(SET, 1)), replace=False)

    def read(store: Path, *files: Path) -> None:
        for file in files:
            analyze([file], store, settings, clock=clock, metrics=Metrics(), accounts=facts)

    one, parts, late = (tmp_path / f"{name}.duckdb" for name in ("one", "parts", "late"))
    change_corpus(one, known, settings, clock=clock)
    read(one, written(tmp_path / "all.ndjson", made))
    change_corpus(parts, known, settings, clock=clock)
    edges = [0, 1, 400, 401, 900, len(made)]
    for n, (low, high) in enumerate(pairwise(edges)):
        read(parts, written(tmp_path / f"{n}.ndjson", made[low:high], low))
    read(late, tmp_path / "all.ndjson")
    assert signals(late) == []
    change_corpus(late, known, settings, clock=clock)
    found = signals(one)
    assert {row[0] for row in found} == {f"shard-{n}" for n in range(20)}
    assert all(0.6 < row[2] <= 0.8 for row in found)
    assert signals(parts) == found
    assert signals(late) == found
    change_corpus(late, known, settings, clock=clock)  # again, as it is
    assert signals(late) == found
    assert signals(one, "select count(*) from suspicious_accounts") == [(0,)]


def test_without_known_sets_the_rule_says_nothing() -> None:
    with Bench() as bench:
        bench.add_events(shards())
        assert bench.evaluate(RULE).height == 0


def test_it_names_nobody_alone_by_the_shipped_reference() -> None:
    """Half of all accounts would have to be its shards; of those that send much one alone would have to do."""
    reference = load_reference(None)
    for name, population in reference.populations.items():
        alone = FEWEST_HEAVY if name.endswith("/heavy") else 2
        needed = alone / (Settings().rules.false_discovery_rate / 2)
        if not name.startswith("metadata"):  # without text nothing is seen of a set
            cap = RULE.parameters["cap_unknown" if "/unknown" in name else "cap"]
            assert (1 - cap) ** -STEEPNESS / population.bound < needed, name


@pytest.mark.parametrize("seed", range(3))
def test_people_who_choose_for_themselves_are_left_alone(seed: int) -> None:
    """Parts of every size, chosen evenly, by popularity, or from the first item on: nothing, or next to nothing."""
    dice = random.Random(seed)
    popular = [1 / (n + 1) for n in range(len(SET))]
    made = [
        *(e for n in range(60) for e in events(f"even-{n}", dice.sample(SET, dice.choice([3, 5, 10, 20, 40, 90])))),
        *(e for n in range(60) for e in events(f"pop-{n}", dice.choices(SET, popular, k=dice.choice([3, 6, 20])))),
        *(e for n in range(30) for e in events(f"first-{n}", SET[: dice.choice([5, 10, 50, 100])])),
    ]
    with Bench() as bench:
        bench.add_corpus("made", SET)
        old = {"created_at": "2025-06-01T00:00:00Z"}
        bench.add_accounts([{"account_id": e["account_id"], "payment_hash": e["account_id"], **old} for e in made])
        bench.add_events(native(made))
        assert bench.evaluate(RULE).height == 0
