"""``stillwatch webhooks`` as a user sees it: receivers are added, tried, paused, rotated; deliveries are sent again."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr

from pipeline.cli import run
from pipeline.clock import SystemClock
from pipeline.config import StoreSettings
from pipeline.delivery.receiver import Receiver
from pipeline.store import Store
from tests.delivery.servers import raw_server, status

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("STILLWATCH_", "KAFKA_")):
            monkeypatch.delenv(name)
    (tmp_path / "stillwatch.toml").write_text(
        '[store]\npath = "data/s.duckdb"\n[webhook]\nallow = ["127.0.0.1"]\nallow_http = true\n', encoding="utf-8"
    )
    (tmp_path / "secret").write_text(SECRET + "\n", encoding="utf-8")
    return tmp_path


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in ("webhooks", *words)], debug=False)
    told = capsys.readouterr()
    return code, told.out, told.err


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {row["endpoint"]: row for row in json.loads(say(capsys, "list", "--json")[1])}


@pytest.mark.usefixtures("place")
def test_a_receiver_is_added_tried_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody is told" in say(capsys, "list")[1]
    with Receiver(SecretStr(SECRET)) as receiver:
        added = say(capsys, "add", "team", receiver.url + "hidden", "--secret-file", "secret", "--severity", "high")
        assert added[:2] == (0, "team: told of alerts from now on\n")
        code, out, err = say(capsys, "test", "team")
        assert (code, err) == (0, "")
        assert "team: taken (HTTP 204)" in out
        assert [item.payload["type"] for item in receiver.messages] == ["alert.opened", "alert.resolved"]
        assert all(item.verified for item in receiver.messages)
    row = listed(capsys)["team"]
    assert (row["format"], row["told_of"], row["state"], row["waiting"]) == ("native", "high or worse", "ok", 0)
    assert row["to"].startswith("http://127.0.0.1:")
    for words in (("list",), ("list", "--json"), ("show", "team", "--json")):
        assert not {"hidden", SECRET} & set(say(capsys, *words)[1].replace('"', " ").split())
    code, out, err = say(capsys, "test", "team")
    assert (code, err) == (1, "")  # said once
    assert out.startswith("team: not taken: no connection")
    assert out.count("no connection") == 1
    assert say(capsys, "add", "team", "https://a.example/")[0] == 64
    assert say(capsys, "remove", "team")[0] == 0
    assert listed(capsys) == {}
    assert say(capsys, "remove", "team")[0] == 64


def test_a_new_secret_is_shown_once_and_rotates(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = json.loads(say(capsys, "add", "team", "https://a.example/x", "--json")[1])["secret"]
    assert first.startswith("whsec_")
    assert listed(capsys)["team"]["signs_with"] == 1
    second = json.loads(say(capsys, "rotate-secret", "team", "--hours", "2", "--json")[1])["secret"]
    assert second not in {first, None}
    assert listed(capsys)["team"]["signs_with"] == 2
    code, out, _ = say(capsys, "rotate-secret", "team", "--hours", "0", "--secret-file", "secret")
    assert (code, out) == (0, "team: signs with a new secret\n")
    assert listed(capsys)["team"]["signs_with"] == 1
    text = (place / "data" / "endpoints.toml").read_text(encoding="utf-8")
    assert SECRET in text
    assert first not in text


@pytest.mark.usefixtures("place")
def test_pausing_and_other_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert say(capsys, "add", "chat", "https://chat.example/hidden", "--format", "slack", "--rules", "campaign")[0] == 0
    assert say(capsys, "pause", "chat")[:2] == (0, "chat: paused\n")
    assert listed(capsys)["chat"]["state"] == "paused"
    assert say(capsys, "resume", "chat")[0] == 0
    row = listed(capsys)["chat"]
    assert (row["state"], row["told_of"], row["signs_with"]) == ("ok", "rules: campaign", 0)
    assert say(capsys, "rotate-secret", "chat")[0] == 64


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "team", "http://10.0.0.1/"), "10.0.0.1 is an address inside"),
        (("add", "team", "https://u:p@a.example/"), "a user's name"),
        (("add", "Team", "https://a.example/"), "endpoints.Team"),
        (("add", "end_1", "https://a.example/"), "endpoints.end_1"),
        (("add", "team", "https://a.example/", "--format", "pager"), "endpoints.team.format"),
        (("add", "team", "https://a.example/", "--format", "pagerduty"), "routing key"),
        (("add", "team", "https://a.example/", "--severity", "bad"), "severity"),
        (("add", "team", "https://a.example/", "--secret-file", "stillwatch.toml"), "whsec_"),
        (("test", "team"), "no endpoint team"),
        (("pause", "team"), "no endpoint team"),
        (("show", "team"), "no endpoint team"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_next_step(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, _, err = say(capsys, *words)
    assert code in {64, 78}
    assert "→" in err
    assert said in err
    assert "Traceback" not in err


def test_what_was_given_up_is_sent_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").mkdir()
    store_file = place / "data" / "s.duckdb"
    with Store.open(store_file, StoreSettings(), clock=SystemClock()) as store, store.transaction() as tx:
        for number, state in enumerate(("failed", "disabled", "delivered", "pending")):
            tx.execute(
                "insert into outbox (message_id, alert_id, seq, endpoint, body, created_at, state, attempts, "
                f"next_attempt_at) values ('msg_{number}', 'alt_{number}', 0, 'team', '', $now, '{state}', 9, $now)",
                {"now": NOW},
            )
        tx.execute("insert into webhook_endpoint values ('team', $now, '410 Gone')", {"now": NOW})
    with raw_server(status(204)) as (url, _):
        say(capsys, "add", "team", url, "--secret-file", "secret")
        row = listed(capsys)["team"]
        assert (row["waiting"], row["given_up"], row["state"]) == (1, 2, "gone")
        failed = json.loads(say(capsys, "deliveries", "team", "--state", "failed", "--json")[1])
        assert [item["message_id"] for item in failed] == ["msg_0"]
        assert say(capsys, "retry", "team", "msg_0")[:2] == (0, "team: 1 messages are tried again\n")
        assert json.loads(say(capsys, "retry", "team", "--json")[1]) == {"endpoint": "team", "messages": 1}
        row = listed(capsys)["team"]
        assert (row["waiting"], row["given_up"], row["state"]) == (3, 0, "ok")
    with duckdb.connect(str(store_file), read_only=True) as connection:
        assert connection.execute("select count(*) from webhook_endpoint").fetchone() == (0,)
