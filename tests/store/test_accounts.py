"""Files of facts: four kinds, and every problem at once with its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import InputNotFoundError
from pipeline.store.accounts import ACCOUNTS, AccountsError, check_accounts, read_accounts

ROWS = [
    {"account_id": "a", "created_at": "2026-01-05T12:00:00Z", "quota": 5, "plan": "free"},
    {"account_id": "b", "created_at": None, "quota": None, "plan": "pro"},
]


def write(path: Path) -> Path:
    frame = pl.DataFrame(ROWS)
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".json":
            path.write_text(json.dumps(ROWS))
        case ".ndjson":
            path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
        case ".parquet":
            frame.write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.ndjson", "a.parquet"])
def test_all_kinds_give_the_same(tmp_path: Path, name: str) -> None:
    frame = read_accounts(write(tmp_path / name))
    assert set(frame.columns) == {"account_id", "created_at", "quota", "plan"}
    assert frame.rows(named=True)[0] == {
        "account_id": "a",
        "created_at": datetime(2026, 1, 5, 12, tzinfo=UTC),
        "plan": "free",
        "quota": 5,
    }
    assert check_accounts(frame.to_dicts()).frame.schema == ACCOUNTS


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("account_id,created_at,quota\na,yesterday,1\n,2026-01-05,1\nc,2026-01-05,many\nd,2026-01-05,1\n")
    with pytest.raises(AccountsError) as caught:
        read_accounts(path)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    for said in (
        "line 2: 'yesterday' is no time",
        "line 3",
        "line 4: 'many' is no whole number",
        "nothing was imported",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "account_id,orgnisation\na,x\n", "'orgnisation' is no fact"),
        ("a.csv", "plan\nfree\n", "'account_id' is missing"),
        ("a.csv", "account_id\na\na\n", "'a' is there more than once"),
        ("a.json", "[1]", "line 1: no object"),
        ("a.json", "{", "a.json: Expecting"),
        ("a.ndjson", '{"account_id":"a"}\n{\n[1]\n', "line 2: no JSON"),
        ("a.ndjson", '{"account_id":"a"}\n[1]\n', "line 2: no object"),
        ("a.ndjson", '{"account_id":7}', "line 1: Expected `str`"),
        ("a.parquet", "x", "a.parquet: parquet"),
        ("a.xlsx", "x", "one of .csv"),
        ("a.json", '{"account_id": "a", "created_at": 1e300}', "row|line 1"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AccountsError, match=said):
        read_accounts(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        read_accounts(tmp_path / "a.csv")
