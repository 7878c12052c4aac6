"""Analyst SQL from the command line: formats, parameters, saved queries, the prompt; over a real DuckDB."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from pipeline.cli.prompt import complete, completer, interact, respond
from pipeline.cli.render import Format, render
from pipeline.cli.saved import saved_queries, saved_query
from pipeline.cli.sql import parse_params
from pipeline.clock import SystemClock
from pipeline.config import ServeSettings, Settings, StoreSettings
from pipeline.errors import InputNotFoundError, QueryError, UsageError
from pipeline.metrics import Metrics
from pipeline.serve.http import HttpServer
from pipeline.serve.view import Answer, Command, Health, RuleLook
from pipeline.store import Store

ROWS = pa.table({"account": ["a,1", "b\x1b[31m"], "n": [1, 2], "reasons": [["x", "y"], []]})


# The command, saying when DuckDB has begun with the query.
INTERRUPTED = """
import sys, signal, threading
from pipeline import cli
from pipeline.store import query
signal.signal(signal.SIGINT, signal.default_int_handler)
judge = query.judge
def judged(cursor, sql):
    statement = judge(cursor, sql)
    threading.Timer(1, lambda: print("asked", file=sys.stderr, flush=True)).start()
    return statement
query.judge = judged
cli.main()
"""


class Source:
    """Analyst SQL on a real DuckDB in memory, with one view; also what HttpServer asks."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("create view suspicious_accounts as select 'acct_1' as account_id, 0.97 as score")

    def query(
        self, sql: str, params: Mapping[str, object] | None = None, *, max_rows: int | None, timeout_s: float
    ) -> Answer:
        del timeout_s
        try:
            found = self.connection.cursor().execute(sql, dict(params or {})).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0], next_step="mend the query") from error
        return Answer(found.slice(0, max_rows), max_rows is not None and found.num_rows > max_rows)

    def look(self, asked: RuleLook, *, timeout_s: float) -> Answer:
        raise NotImplementedError(asked)

    def health(self) -> Health:
        return Health(True, (), None, {}, (), 0, 0, 0, 0, 0, 0)

    def submit(self, command: Command) -> Future[Mapping[str, object]]:
        raise NotImplementedError(command)


def test_the_formats_hold_the_same_rows() -> None:
    assert json.loads(render(ROWS, Format.JSON)) == ROWS.to_pylist()
    assert [json.loads(line) for line in render(ROWS, Format.NDJSON).splitlines()] == ROWS.to_pylist()
    assert pl.read_parquet(io.BytesIO(render(ROWS, Format.PARQUET))).to_arrow().to_pylist() == ROWS.to_pylist()
    assert pl.read_csv(io.BytesIO(render(ROWS, Format.CSV)))["account"].to_list() == ["a,1", "b\x1b[31m"]


def test_a_table_cannot_steer_the_terminal() -> None:
    text = render(ROWS, Format.TABLE).decode()
    assert "\x1b" not in text
    assert "x; y" in text
    assert text.endswith("(2 rows)\n")


def test_parameters_keep_their_types() -> None:
    found = parse_params(["n=5", "share=0.5", "account=acct_1", 'id="5"', "flag=true", "eq=a=b"])
    assert found == {"n": 5, "share": 0.5, "account": "acct_1", "id": "5", "flag": True, "eq": "a=b"}
    with pytest.raises(UsageError):
        parse_params(["n"])


def test_saved_queries_have_a_question_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "who.sql").write_text("-- Who shares?\n-- $hours = 24\nselect $hours as hours")
    [found] = saved_queries(tmp_path)
    assert (found.name, found.question, dict(found.defaults)) == ("who", "Who shares?", {"hours": 24})
    with pytest.raises(InputNotFoundError):
        saved_query("nobody", tmp_path)


@pytest.mark.parametrize(("text", "sent"), [("select 1", False), ("select 1;", True), (".views", True), ("", True)])
def test_sql_is_sent_by_its_semicolon(text: str, sent: bool) -> None:
    assert complete(text) is sent


def test_the_prompt_takes_several_lines_and_survives_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    history = InMemoryHistory()
    with create_pipe_input() as terminal:
        terminal.send_text("select account_id\rfrom suspicious_accounts;\rselect nothing;\r.views\r.quit\r")
        interact(Source(), timeout_s=5, history=history, terminal=terminal, screen=DummyOutput())
    shown = capsys.readouterr().out
    assert "acct_1" in shown
    assert "error: " in shown
    assert "mend the query" in shown
    assert "suspicious_accounts" in shown
    assert "select account_id\nfrom suspicious_accounts;" in history.get_strings()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (".vie", ".views"),
        (".schema susp", ".schema suspicious_accounts"),
        (".saved busiest", ".saved busiest_accounts"),
        ("from suspicious_acc", "suspicious_accounts"),
        ("select s.sc", "score"),
        ("SEL", "select"),
    ],
)
def test_words_of_the_prompt_views_and_columns_are_completed(typed: str, offered: str) -> None:
    found = completer(Source(), 5).get_completions(Document(typed), CompleteEvent(completion_requested=True))
    assert offered in [item.text for item in found]


def test_a_table_shows_times_to_the_second() -> None:
    rows = pa.table({"at": [datetime(2026, 1, 5, 12, 11, 54, 159704, tzinfo=UTC)]})
    assert "2026-01-05 12:11:54Z\n" in render(rows, Format.TABLE).decode()
    assert json.loads(render(rows, Format.JSON)) == [{"at": "2026-01-05T12:11:54.159704Z"}]


def test_ctrl_c_ends_a_query_and_not_the_time_limit(tmp_path: Path) -> None:
    store = tmp_path / "s.duckdb"
    Store.open(store, StoreSettings(), clock=SystemClock()).close()
    endless = "select count(*) from range(1000000000) a, range(1000000) b"
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "sql", endless, "--store", str(store)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as asked:  # fmt: skip
        assert asked.stderr is not None
        assert asked.stderr.readline() == "asked\n"
        asked.send_signal(signal.SIGINT)
        out, err = asked.communicate(timeout=20)  # the limit of time is 30 s
    assert (asked.returncode, out, err) == (130, "", "")


def test_schema_names_columns() -> None:
    assert "score" in respond(Source(), ".schema suspicious_accounts", 5)


def test_a_second_tree_on_a_served_store_joins_nothing(tmp_path: Path) -> None:
    store = tmp_path / "s.duckdb"
    settings = Settings(serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=store))
    with HttpServer(settings, Metrics(), Source()):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "up"],
            cwd=tmp_path, env=os.environ | {"STILLWATCH_STORE__PATH": str(store)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (73, 1), done.stderr
    assert "served by process" in done.stderr


def test_the_command_asks_the_serving_process(tmp_path: Path) -> None:
    store = tmp_path / "s.duckdb"
    settings = Settings(serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=store))
    command = [sys.executable, "-m", "pipeline.cli", "sql", "--store", str(store)]
    with HttpServer(settings, Metrics(), Source()):
        done = subprocess.run(
            [*command, "from suspicious_accounts where score > $least", "--param", "least=0.5", "--json"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        refused = subprocess.run(
            [*command, "select nothing"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
    assert json.loads(done.stdout) == [{"account_id": "acct_1", "score": 0.97}], done.stderr
    assert (refused.returncode, refused.stderr.count("\n")) == (65, 1)
