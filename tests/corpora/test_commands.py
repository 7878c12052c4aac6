"""``stillwatch corpora`` as a user sees it, through the file or through a serving process; no text stays anywhere."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest

from pipeline.analyze import analyze
from pipeline.cli import run
from pipeline.clock import ManualClock
from pipeline.config import ServeSettings, Settings, StoreSettings, beside
from pipeline.corpora import known_set
from pipeline.corpora.marks import MARKS
from pipeline.errors import UsageError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.corpora import AddCorpus, CorpusChange, RemoveCorpus
from pipeline.serve.corpus_body import decode, encode
from pipeline.serve.http import HttpServer
from pipeline.serve.loop import _run_commands
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command
from pipeline.store import Store
from pipeline.store.backup import backup, restore
from tests.corpora.sets import items
from tests.corpora.test_coverage import SET, facts_of_shards, shards, signals, written
from tests.serve.test_http import View

KNOWN = known_set("made", enumerate(SET, 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in [*SET, "Hi", SET[0]]), encoding="utf-8")
    return path


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in ("corpora", *words)], debug=False)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_added_listed_replaced_and_removed(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ("--store", tmp_path / "s.duckdb")
    code, out, _ = say(capsys, "add", "made", file, *store)
    assert (code, out) == (0, (
        "made: 602 items (field 'prompt'), 600 can be found; left out: copies of others: 1, "
        "of fewer than eight words: 1\n"
    ))  # fmt: skip
    assert say(capsys, "add", "made", file, *store)[0] == 0  # its answer was lost: again
    other = tmp_path / "canaries.txt"
    other.write_text("\n".join(items(3, seed=5)), encoding="utf-8")
    code, _, err = say(capsys, "add", "made", other, *store)
    assert (code, "another known set 'made'" in err, "--replace" in err) == (64, True, True)
    code, out, _ = say(capsys, "list", "--json", *store)
    assert [(row["corpus"], row["items"], row["findable"]) for row in json.loads(out)] == [("made", 602, 600)]
    code, out, _ = say(capsys, "add", "made", other, "--replace", "--json", *store)
    assert json.loads(out) == {
        "corpus": "made", "field": None, "items": 3, "findable": 3, "duplicates": 0, "too_short": 0, "alike": 0,
        "without_text": 0,
    }  # fmt: skip
    assert signals(tmp_path / "s.duckdb", "select count(distinct item) from corpus_mark") == [(3,)]
    assert say(capsys, "remove", "made", *store)[:2] == (0, "made: removed\n")
    code, _, err = say(capsys, "remove", "made", *store)
    assert (code, "no known set 'made'; there are: none" in err) == (64, True)
    assert signals(
        tmp_path / "s.duckdb", "select (select count(*) from corpus_mark), (select count(*) from corpus_item)"
    ) == [(0, 0)]


def test_wrong_words_end_in_one_line(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ("--store", tmp_path / "s.duckdb")
    binary = tmp_path / "x.txt"
    binary.write_bytes(b"\0" * 100)
    for words, expected in (
        (("add", "made", tmp_path / "nowhere", *store), 66),
        (("add", "made", tmp_path, *store), 66),
        (("add", "made", binary, *store), 65),
        (("add", "made", file, "--field", "nothing", *store), 65),
        (("add", "a b", file, *store), 64),
        (("remove", "made", *store), 66),
    ):
        code, out, err = say(capsys, *words)
        assert (code, out, err.count("\n")) == (expected, "", 1), words
        assert " → " in err
    assert not (tmp_path / "s.duckdb").exists()


def test_what_was_found_by_a_set_goes_with_it_and_explain_tells_it(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.duckdb"
    store = ("--store", path)
    facts = facts_of_shards()
    clock = ManualClock(shards()[-1]["timestamp"])
    traffic = written(tmp_path / "t.ndjson", shards())
    analyze([traffic], path, Settings(), clock=clock, metrics=Metrics(), accounts=facts)
    assert signals(path) == []
    say(capsys, "add", "made", file, *store)
    assert len({row[0] for row in signals(path)}) == 20
    assert run(["explain", "shard-3", *map(str, store)], debug=False) == 0
    told = capsys.readouterr().out
    assert "of the known set made it sent 30 of 600 items (estimated 30) in 30 of its 30 requests" in told
    assert "rank correlation with the set's order 1.00" in told
    html = tmp_path / "e.html"
    assert run(["explain", "shard-3", "--out", str(html), *map(str, store)], debug=False) == 0
    assert "<td>30 of 600</td>" in html.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(["sql", "--saved", "known_sets_covered", "--json", *map(str, store)], debug=False) == 0
    assert json.loads(capsys.readouterr().out)[0]["account_id"] == "whole"
    say(capsys, "remove", "made", *store)
    assert signals(path) == []
    assert signals(path, "select count(*) from findings where entity_id like 'shard-%'") == [(0,)]


def test_no_text_of_it_is_kept(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.duckdb"
    say(capsys, "add", "made", file, "--store", path)
    word = SET[0].split()[3].encode()
    assert word in file.read_bytes()
    assert word not in path.read_bytes()
    assert word not in encode(AddCorpus(KNOWN, replace=False))


def test_it_survives_a_backup(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.duckdb"
    say(capsys, "add", "made", file, "--store", path)
    with Store.open(path, Settings().store, clock=ManualClock()) as store:
        backup(store, tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again.duckdb")
    count = "select (select count(*) from corpus_mark), (select count(*) from corpus_item), (select items from corpora)"
    assert signals(tmp_path / "again.duckdb", count) == signals(path, count)


def test_the_writer_of_a_serve_takes_it_between_two_steps(tmp_path: Path) -> None:
    settings, clock = Settings(), ManualClock()
    commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
    futures: list[Future[Any]] = [Future() for _ in range(4)]
    other = known_set("made", enumerate(items(5, seed=8)))
    changes: list[CorpusChange] = [
        AddCorpus(KNOWN, replace=False),
        AddCorpus(other, replace=False),
        RemoveCorpus("x"),
        RemoveCorpus("made"),
    ]
    for change, future in zip(changes, futures, strict=True):
        commands.put((change, future))
    with Store.open(tmp_path / "s.duckdb", settings.store, clock=clock) as opened:
        _run_commands(commands, opened, Stepper(opened, load_rules(settings.rules), settings, clock, Metrics(), 1), "e")
    assert futures[0].result(0) == {"corpus": "made", "findable": 600}
    with pytest.raises(UsageError, match="another known set"):
        futures[1].result(0)
    with pytest.raises(UsageError, match="no known set 'x'; there are: made"):
        futures[2].result(0)
    assert futures[3].result(0) == {"corpus": "made"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[HttpServer, View, Path]]:
    settings = Settings(serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=tmp_path / "served.duckdb"))
    view = View()
    with HttpServer(settings, Metrics(), view) as server:
        yield server, view, beside(settings.store.path)


def test_a_running_serve_is_told_hashes_only(
    served: tuple[HttpServer, View, Path], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, view, path = served
    assert say(capsys, "add", "made", file, "--replace", "--store", path)[0] == 0
    assert say(capsys, "remove", "made", "--store", path)[0] == 0
    [added, removed] = view.commands
    assert isinstance(added, AddCorpus)
    assert (added.replace, added.known.digest) == (True, known_set("made", enumerate([*SET, "Hi", SET[0]], 1)).digest)
    assert removed == RemoveCorpus("made")
    assert not path.exists()


def _body(marks: pl.DataFrame, **head: object) -> bytes:
    said = {"name": "m", "replace": False, "items": 2, "duplicates": 0, "too_short": 0, "alike": 0, **head}
    table = marks.to_arrow().replace_schema_metadata({b"stillwatch-corpus": json.dumps(said).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


MANY = pl.DataFrame({"item": [1] * 11, "template": [False] * 11, "hash": range(11)}, schema=MARKS)
GOOD = pl.DataFrame({"item": [1, 2], "template": [False, True], "hash": [7, 8]}, schema=MARKS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no known set"),
        (b"not arrow at all", "no known set"),
        (_body(GOOD)[:80], "no known set"),
        (_body(GOOD, name="a b"), "is no name"),
        (_body(GOOD, extra=1), "no known set"),
        (_body(GOOD, items=3), "do not add up"),
        (_body(GOOD, items=10**9), "no known set"),
        (_body(GOOD.head(0), items=0), "do not add up"),
        (_body(GOOD.with_columns(hash=pl.lit("x"))), "marks have the columns"),
        (_body(GOOD.with_columns(item=pl.lit(None, pl.UInt32))), "marks have the columns"),
        (_body(pl.concat([GOOD, GOOD.with_columns(item=pl.lit(2, pl.UInt32))])), "stands for two items"),
        (_body(MANY, items=1), "more than 10"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_known_set_is_refused(served: tuple[HttpServer, View, Path], body: bytes, said: str) -> None:
    server, view, _ = served
    told = httpx.post(
        f"{server.url}/v1/corpora", content=body, headers={"Authorization": f"Bearer {server.token}"}, trust_env=False
    )
    assert (told.status_code, view.commands) == (400, [])
    assert said in told.json()["error"]
    assert httpx.post(f"{server.url}/v1/corpora", content=body, trust_env=False).status_code == 401


def test_what_is_sent_arrives_as_it_was() -> None:
    arrived = decode(encode(AddCorpus(KNOWN, replace=True)))
    assert (arrived.replace, arrived.known.digest, arrived.known.name) == (True, KNOWN.digest, "made")
