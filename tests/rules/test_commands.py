"""``stillwatch rules`` as a user sees it: through the file, and through a process that serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.cli import run
from pipeline.clock import ManualClock
from pipeline.config import ServeSettings, Settings, StoreSettings, load
from pipeline.config.edit import change_list
from pipeline.errors import ConfigError, QueryError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_directory, load_rules
from pipeline.serve.client import ServeClient
from pipeline.serve.http import HttpServer
from pipeline.serve.state import ServeState
from pipeline.store import Store
from pipeline.testing import START, Bench
from tests.cli.test_commands import bare
from tests.rules.test_check import ASKED
from tests.rules.test_load import YAML, write

TOML = """# Ours, with words
[rules]
directory = "mine"  # beside the shipped ones
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bare(monkeypatch, tmp_path)
    write(tmp_path / "mine")
    (tmp_path / "stillwatch.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def filled() -> Iterator[Bench]:
    with Bench() as bench:
        bench.add_events([{"account_id": "busy", "timestamp": START + timedelta(minutes=n)} for n in range(9)])
        yield bench


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in ("rules", *words)], debug=False)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_rules_are_listed_those_that_are_disabled_or_broken_too(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = say(capsys, "list", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert (code, rows["mine"]["origin"], rows["shared_client"]["origin"]) == (0, "mine/mine", "shipped")
    (place / "mine" / "bad.sql").write_text("select 1")
    (place / "stillwatch.toml").write_text(TOML + 'disabled = ["shared_client"]\n')
    code, out, err = say(capsys, "list", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert (code, rows["bad"]["state"], rows["shared_client"]["state"]) == (65, "broken", "disabled")
    assert "mine/bad.yml: missing" in err


def test_a_rule_is_shown_with_the_parameters_that_are_set(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "stillwatch.toml").write_text(TOML + "[rules.parameters.mine]\nleast = 7\n")
    code, out, _ = say(capsys, "show", "mine", "--sql")
    assert code == 0
    assert "least  7  (1 to 10, not 3 as shipped) events" in out
    assert "from links where hour >= $since" in out
    told = json.loads(say(capsys, "show", "mine", "--json")[1])
    assert told["parameters"]["least"]["value"] == 7
    assert (told["window"], told["for"], told["tests"]) == ("2h", "0", ["fires", "does not"])
    code, _, err = say(capsys, "show", "sharedclient")
    assert (code, "did you mean shared_client?" in err) == (66, True)


def test_parameters_of_the_environment_are_json(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.is_dir()
    monkeypatch.setenv("STILLWATCH_RULES__PARAMETERS", '{"mine": {"least": 5}}')
    assert load_rules(load().settings.rules).rules["mine"].parameters == {"least": 5}
    monkeypatch.setenv("STILLWATCH_RULES__PARAMETERS", "mine.least=5")
    with pytest.raises(ConfigError, match=r"rules\.parameters: no JSON table"):
        load()


def test_cases_are_run_and_a_failed_one_is_exit_code_1(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert say(capsys, "test", "mine")[0] == 0
    write(place / "mine", "other", yaml=YAML.replace("events: 9", "events: 1"))
    code, out, _ = say(capsys, "test", "--directory", "mine")
    assert code == 1
    assert "FAILED  case  fires: 0 accounts, expected 1" in out
    assert "2 rules, 8 checks: 1 failed, of 1 rule\n" in out
    told = json.loads(say(capsys, "test", "other", "--json")[1])
    assert [one["name"] for one in told if one["state"] == "failed"] == ["fires"]
    assert say(capsys, "test", "--directory", "nowhere")[0] == 66
    assert say(capsys, "test", "othr")[0] == 66
    write(place / "mine", "shared_client")
    code, out, _ = say(capsys, "test", "shared_client", "--json")
    assert (code, "is taken by" in out) == (1, True)


def test_a_rule_is_made_from_a_question(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "asked.sql").write_text(ASKED)
    code, out, _ = say(capsys, "new", "chatty", "--file", "asked.sql", "--param", "least=30")
    assert code == 0
    assert "next: write its tests at the end of mine/chatty.yml" in out
    assert say(capsys, "new", "chatty", ASKED, "--param", "least=30")[0] == 64
    assert say(capsys, "new", "shared_client", ASKED, "--param", "least=30", "--directory", "new")[0] == 64
    assert say(capsys, "new", "other", ASKED, "--param", "least=many")[0] == 64
    assert say(capsys, "new", "other", "select 1")[0] == 65
    assert say(capsys, "new", "other")[0] == 64


def test_switching_keeps_what_people_wrote(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place / "stillwatch.toml"
    file.chmod(0o640)
    assert "within seconds" in say(capsys, "disable", "many_networks")[1]
    assert file.read_text() == TOML + 'disabled = ["many_networks"]\n'
    assert file.stat().st_mode & 0o777 == 0o640
    assert say(capsys, "disable", "many_networks") == (0, "many_networks is disabled already\n", "")
    told = json.loads(say(capsys, "disable", "mine", "--json")[1])
    assert (told["disabled"], told["changed"]) == (["many_networks", "mine"], True)
    for name in ("mine", "many_networks"):
        assert say(capsys, "enable", name)[0] == 0
    assert file.read_text() == TOML + "disabled = []\n"
    assert say(capsys, "disable", "nonsense")[0] == 66
    assert load_rules(load().settings.rules).rules.keys() >= {"mine", "many_networks"}


def test_a_rule_that_is_gone_or_broken_may_be_switched(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine" / "bad.sql").write_text("select 1")
    (place / "stillwatch.toml").write_text(TOML + 'disabled = ["gone"]\n')
    assert say(capsys, "enable", "gone")[0] == 0
    assert say(capsys, "disable", "bad")[0] == 0


def test_switching_says_where_it_cannot_be_written(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLWATCH_RULES__DISABLED", "many_networks")
    code, _, err = say(capsys, "enable", "many_networks")
    assert (code, "change it in STILLWATCH_RULES__DISABLED" in err) == (78, True)
    monkeypatch.delenv("STILLWATCH_RULES__DISABLED")
    (place / "stillwatch.toml").unlink()
    code, _, err = say(capsys, "disable", "many_networks")
    assert (code, "touch stillwatch.toml" in err) == (78, True)
    assert not (place / "stillwatch.toml").exists()


@pytest.mark.parametrize("text", ["rules = 3\n", "[rules]\ndisabled = 'x'\n", "[rules\n"])
def test_a_file_of_another_form_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        change_list(file, "rules", "disabled", add=("x",))
    assert file.read_text() == text


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(TOML)
    (tmp_path / "link.toml").symlink_to("real.toml")
    assert change_list(tmp_path / "link.toml", "rules", "disabled", add=("b", "a")) == ["a", "b"]
    assert (tmp_path / "link.toml").is_symlink()
    assert 'disabled = ["a", "b"]' in (tmp_path / "real.toml").read_text()


def test_a_rule_about_the_pipeline_is_listed_shown_and_tested(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "stillwatch.toml").write_text(
        TOML + 'disabled = ["pipeline.rule_off"]\n[rules.parameters."pipeline.serve_behind"]\nmax_behind_s = 900\n'
    )
    rows = {row["id"]: row for row in json.loads(say(capsys, "list", "--json")[1])}
    assert rows["mine"].keys() == rows["pipeline.rule_off"].keys()
    assert (rows["pipeline.rule_off"]["state"], rows["pipeline.serve_behind"]["state"]) == ("disabled", "on")
    assert (rows["mine"]["clock"], rows["pipeline.rule_off"]["clock"]) == ("event", "wall")
    [line] = [one for one in say(capsys, "list")[1].splitlines() if one.startswith("pipeline.serve_behind ")]
    assert "1m (wall clock)" in line
    code, out, _ = say(capsys, "show", "pipeline.serve_behind", "--sql")
    assert code == 0
    assert "max_behind_s  900  (10 to 86400, not 300 as shipped) seconds" in out
    assert "it alerts when that has lasted for 5m, until it is no longer so" in out
    assert "where $behind_s >= $max_behind_s" in out
    told = json.loads(say(capsys, "show", "pipeline.serve_behind", "--json")[1])
    assert (told["parameters"]["max_behind_s"]["value"], told["for"], told["clock"]) == (900, "5m", "wall")
    told = json.loads(say(capsys, "test", "pipeline.serve_behind", "--json")[1])
    assert {one["state"] for one in told} == {"passed"}
    assert {one["kind"] for one in told} == {"lint", "docs", "case", "cost"}
    assert say(capsys, "test", "pipeline.serve_behint")[2].endswith("did you mean pipeline.serve_behind?\n")
    assert "pipeline." not in say(capsys, "test", "--directory", "mine")[1]


def test_a_rule_about_the_pipeline_is_switched_and_tuned_as_any_other(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "stillwatch.toml"
    assert "within seconds" in say(capsys, "disable", "pipeline.source_silent")[1]
    assert file.read_text() == TOML + 'disabled = ["pipeline.source_silent"]\n'
    assert "pipeline.source_silent" not in load_rules(load().settings.rules).pipeline
    assert say(capsys, "enable", "pipeline.source_silent")[0] == 0
    assert "pipeline.source_silent" in load_rules(load().settings.rules).pipeline
    assert say(capsys, "disable", "pipeline.nonsense")[0] == 66
    file.write_text(TOML + '[rules.parameters."pipeline.source_silent"]\nsilent_minutes = 300\n')
    code, _, err = say(capsys, "list")
    assert (code, "pipeline.source_silent: silent_minutes = 300 is outside 5…59" in err) == (65, True)
    file.write_text(TOML + "[rules.parameters.pipeline.source_silent]\nsilent_minutes = 30\n")
    code, _, err = say(capsys, "list")
    assert (code, '[rules.parameters."pipeline.source_silent"]' in err) == (78, True), err


@pytest.mark.parametrize("command", ["backtest", "explain-plan"])
def test_a_rule_about_the_pipeline_has_no_past_to_look_at(
    place: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    stored(place / "s.duckdb")
    code, _, err = say(capsys, command, "pipeline.source_silent", "--store", "s.duckdb")
    assert (code, "speaks of now" in err, "rules test pipeline.source_silent" in err) == (64, True, True)


def stored(path: Path) -> None:
    """A store as a file, with what a bench has in memory."""
    with Bench() as bench:
        Store.open(path, StoreSettings(), clock=ManualClock(START)).close()
        bench.store.close()
        bench.store = Store.open(path, StoreSettings(), clock=bench.clock)
        bench.add_events([{"account_id": "busy", "timestamp": START + timedelta(minutes=n)} for n in range(9)])


def test_backtest_by_the_file_says_what_would_have_fired(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(place / "s.duckdb")
    code, out, _ = say(capsys, "backtest", "mine", "--store", "s.duckdb", "--html", "out.html")
    assert code == 0
    assert "It matched in 1 of them: 1 account, 1 group in 1 episode; strengths 0.50 to 0.50" in out
    assert "<svg" in (place / "out.html").read_text()
    told = json.loads(say(capsys, "backtest", "mine", "--store", "s.duckdb", "--set", "least=10", "--json")[1])
    assert (told["windows"], told["windows_matched"], told["parameters"]) == (1, 0, {"least": 10})
    assert say(capsys, "backtest", "mine", "--store", "s.duckdb", "--set", "least=11")[0] == 65
    assert say(capsys, "backtest", "mine", "--store", "s.duckdb", "--set", "least")[0] == 64
    assert say(capsys, "backtest", "mine", "--store", "s.duckdb", "--from", "2027-01-01")[0] == 64
    assert say(capsys, "backtest", "mine", "--store", "s.duckdb", "--from", "5m")[0] == 0
    assert say(capsys, "backtest", "mine", "--store", "none.duckdb")[0] == 66
    code, out, _ = say(capsys, "explain-plan", "mine", "--store", "s.duckdb", "--json")
    assert "PROJECTION" in json.loads(out)["plan"]


def test_a_serving_process_looks_with_its_own_rules_only(
    place: Path, filled: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = load_directory(place / "mine")
    settings = Settings(serve=ServeSettings(listen="127.0.0.1:0"), store=StoreSettings(path=place / "served.duckdb"))
    state = ServeState(filled.store, settings, ManualClock(START), rules)
    with HttpServer(settings, Metrics(), state):
        code, out, _ = say(capsys, "backtest", "mine", "--store", "served.duckdb", "--set", "least=5")
        assert (code, "1 account, 1 group" in out) == (0, True)
        assert say(capsys, "explain-plan", "mine", "--store", "served.duckdb")[0] == 0
        (place / "mine" / "mine.sql").write_text((place / "mine" / "mine.sql").read_text() + "-- another\n")
        code, _, err = say(capsys, "backtest", "mine", "--store", "served.duckdb")
        assert (code, "another text of rule mine" in err, "store backup" in err) == (65, True, True)
        loaded = rules.rules["mine"]
        client = ServeClient.find(place / "served.duckdb")
        assert client is not None
        with client, pytest.raises(QueryError, match="outside"):
            client.look(replace(loaded, parameters={"least": 99}), START, START + timedelta(hours=1), timeout_s=5)
