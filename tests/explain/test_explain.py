"""Explanations over a real store: they say what the SQL says, can be recomputed, and escape what is hostile."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from math import prod
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.analyze import analyze
from pipeline.cli import run
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.explain import AccountReport, CampaignReport, explain, render
from pipeline.explain.subject import UnknownSubjectError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules, override
from pipeline.serve.ask import asker
from pipeline.serve.clearing import Clearing
from pipeline.serve.facts import say_clearing
from pipeline.serve.http import HttpServer
from pipeline.serve.loop import _run_commands
from pipeline.serve.state import ServeState
from pipeline.serve.step import Stepper
from pipeline.simulate import plan
from pipeline.store import Store
from tests.explain.conftest import AFTER, HOSTILE, START, lone_event

Analyzed = tuple[Path, frozenset[str]]
SETTINGS = Settings()
RULES = load_rules(SETTINGS.rules)


def ask(store: Path, sql: str, **params: object) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(sql, params).fetchall() if params else connection.execute(sql).fetchall()


def report(store: Path, subject: str, settings: Settings = SETTINGS) -> AccountReport | CampaignReport:
    with asker(store, settings.store) as source:
        return explain(source, subject, rules=RULES, settings=settings)


def account(store: Path, subject: str) -> AccountReport:
    found = report(store, subject)
    assert isinstance(found, AccountReport)
    return found


def campaign(store: Path, subject: str) -> CampaignReport:
    found = report(store, subject)
    assert isinstance(found, CampaignReport)
    return found


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(found: AccountReport | CampaignReport) -> tuple[str, Page]:
    """As text, and as a page that loads nothing and runs nothing."""
    page = Page(render(found, "html", written_at=AFTER))
    assert {tag for tag, _ in page.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "table", "tr", "th", "td"),
        *("span", "br", "b", "ul", "li", "svg", "rect", "line", "text", "circle"),
    }
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on") or name in {"src", "href", "style"}}
    return render(found, "text", written_at=AFTER).decode(), page


def test_an_account_is_explained_by_what_is_stored(analyzed: Analyzed) -> None:
    store, planted = analyzed
    one = min(planted)
    found = account(store, one)
    [(score, campaign_id)] = ask(store, "select score, campaign_id from findings where entity_id = $id", id=one)
    assert (found.account.score, found.account.named, found.account.campaign_id) == (score, True, campaign_id)
    assert len(found.signals) == ask(store, "select count(*) from signals where account_id = $id", id=one)[0][0]
    assert found.arithmetic.computed == pytest.approx(score, abs=1e-12)
    assert found.arithmetic.agrees
    assert 1 - prod(1 - step.strength for step in found.arithmetic.steps) == pytest.approx(score, abs=1e-12)
    assert len({step.evidence for step in found.arithmetic.steps}) == len(found.arithmetic.steps) >= 2
    assert found.companions_total == 79
    assert {other.account_id for other in found.companions} < planted
    assert found.timeline is not None
    assert found.timeline.unit == "minute"
    assert sum(bar.events for bar in found.timeline.bars) == found.account.events
    assert found.rate is not None
    assert found.rate.events == found.account.events
    sql = "select count(*) filter (where events between 1 and $n - 1), count(*) filter (where events > 0) from accounts"
    [(less, everyone)] = ask(store, sql, n=found.rate.events)
    assert (found.rate.fewer, found.rate.accounts) == (less, everyone)


def test_every_stored_score_can_be_recomputed(analyzed: Analyzed) -> None:
    store, _ = analyzed
    ids = [row[0] for row in ask(store, "select entity_id from findings where dimension = 'account' order by score")]
    assert len(ids) > 80
    for one in [*ids[:3], *ids[-3:], ids[len(ids) // 2]]:
        assert account(store, one).arithmetic.agrees


def test_the_population_is_told_in_numbers(analyzed: Analyzed) -> None:
    store, planted = analyzed
    found = account(store, min(planted))
    template = next(crowd for crowd in found.crowds if crowd.group_key.startswith("template:"))
    sql = """
        with
        young as (
            select account_id, created_at > first_seen - interval 30 days as young
            from accounts
            where events > 0
        ),
        holder as (
            select distinct source_id as account_id
            from links
            where target_kind = 'template' and target_id = $id and source_kind = 'account'
        )
        select
            count(*) filter (where account_id in (from holder)),
            count(*) filter (where account_id in (from holder) and young),
            count(*),
            count(*) filter (where account_id not in (from holder) and young),
            count(young) filter (where account_id not in (from holder))
        from young
    """
    assert ask(store, sql, id=template.group_key.partition(":")[2]) == [
        (template.accounts, template.young, template.everyone, template.others_young, template.others_known_age)
    ]
    text, page = shown(found)
    for said in (text, page.text):
        assert f"{template.others_young} of {template.others_known_age}" in said
        assert "2026-01-05 12:" in said
        assert RULES.rules["shared_prompt"].version in said
    verdicts = {check.explanation[:20]: check.verdict for check in found.checks if check.about == template.group_key}
    assert set(verdicts.values()) == {"contradicted"}


def test_facts_that_are_missing_are_said_to_be(tmp_path: Path) -> None:
    simulation = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80)
    file, store = tmp_path / "t.ndjson", tmp_path / "s.duckdb"
    file.write_bytes(b"\n".join(message for chunk in simulation.chunks(10_000) for message in chunk.messages()))
    analyze([file], store, SETTINGS, clock=ManualClock(AFTER), metrics=Metrics())
    [(one,)] = ask(store, "select account_id from signals where dimension = 'template' order by 1 limit 1")
    found = account(store, one)
    assert {check.verdict for check in found.checks} >= {"not checked"}
    tools = [check for check in found.checks if "tool" in check.explanation]
    assert tools
    assert {check.verdict for check in tools} == {"not checked"}
    assert any("created is not known" in line for line in found.more_data)
    text, page = shown(found)
    assert "not checked: A published tool" in text
    assert "not checked" in page.text


def test_a_campaign_is_explained_with_its_members(analyzed: Analyzed) -> None:
    store, planted = analyzed
    [(one,)] = ask(store, "select campaign_id from campaigns")
    found = campaign(store, one)
    assert {member.account_id for member in found.members if member.named} == planted
    rows = ask(store, "select account_id, probability from campaign_members")
    assert {member.account_id: member.probability for member in found.members} == dict(rows)
    assert {thing.thing for thing in found.things if thing.joins} == set(found.keys)
    assert ask(store, "select change, accounts from campaign_events where campaign_id = $id", id=one) == [
        (event.change, event.accounts) for event in found.events
    ]
    assert (found.last_request, found.ended_at) == ask(store, "select last_request, ended_at from campaigns")[0]
    assert set(found.keys) == {row[0] for row in ask(store, "select group_key from campaign_keys")}
    assert found.timeline is not None
    assert (
        sum(bar.events for bar in found.timeline.bars)
        == ask(store, "select sum(events) from accounts where account_id in (select account_id from campaign_members)")[
            0
        ][0]
    )
    text, page = shown(found)
    assert min(planted) in text
    assert "born: 80 accounts, 80 named" in text
    assert [attributes for tag, attributes in page.elements if tag == "line" and attributes["class"] == "mark"]
    drawn = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert len(drawn) == len(found.timeline.bars)
    assert all(float(bar["y"] or -1) >= 0 and float(bar["height"] or -1) <= 120 for bar in drawn)
    edges = [attributes for tag, attributes in page.elements if tag == "line" and attributes["class"] == "edge"]
    assert len(edges) == sum(len(member.group_keys) for member in found.members[:40])


def test_who_took_over_from_whom_is_explained_and_hostile_text_in_it_is_escaped(store: Path) -> None:
    [(one,)] = ask(store, "select campaign_id from campaigns")
    with duckdb.connect(str(store)) as connection:
        connection.execute(
            "insert into campaign_succession select $one, $hostile, first_seen, last_seen, 60, 50, 0.95, [$hostile]"
            " from campaign where campaign_id = $one",
            {"one": one, "hostile": HOSTILE},
        )
    found = campaign(store, one)
    assert [(item.succeeds, item.accounts_after, item.strength) for item in found.successions] == [(HOSTILE, 50, 0.95)]
    text, page = shown(found)
    assert f"50 accounts of {one}" in text
    assert "\x1b" not in text
    assert "A succession names nobody" in page.text


def test_a_campaign_that_was_merged_gives_the_one_it_went_into(store: Path) -> None:
    [(one,)] = ask(store, "select campaign_id from campaigns")
    with duckdb.connect(str(store)) as connection:
        for younger, older in (("cmp_young", "cmp_middle"), ("cmp_middle", one)):
            connection.execute(
                "insert into campaign by name select $younger as campaign_id, first_key, 0 as score, 0 as accounts,"
                " 0 as named_accounts, [] as reasons, $older as merged_into, first_seen, last_seen, created_at,"
                " updated_at from campaign where campaign_id = $one",
                {"younger": younger, "older": older, "one": one},
            )
    found = campaign(store, "cmp_young")
    assert [event.change for event in found.events] == ["born"]
    assert (found.campaign_id, found.asked_for) == (one, "cmp_young")
    text, page = shown(found)
    assert "Campaign cmp_young was found to be part of it" in text
    assert "cmp_young" in page.text


def test_a_cleared_account_is_explained_as_such(store: Path, analyzed: Analyzed) -> None:
    one = min(analyzed[1])
    said = Clearing((one,), "clear", "ada", "a <b>tester</b>", AFTER)
    say_clearing(store, said, SETTINGS, clock=ManualClock(AFTER))
    found = account(store, one)
    assert found.verdict.startswith("Not named: a person cleared it (a <b>tester</b>)")
    assert found.arithmetic.agrees
    text, page = shown(found)
    assert "covers what was seen before 2026-01-05 13:00:00 UTC" in text
    assert "a <b>tester</b>" in page.text
    [(two,)] = ask(store, "select campaign_id from campaigns")
    gone = next(member for member in campaign(store, two).members if member.account_id == one)
    assert (gone.probability, gone.cleared_reason) == (None, "a <b>tester</b>")


def test_hostile_ids_are_shown_and_do_nothing(analyzed: Analyzed) -> None:
    found = account(analyzed[0], HOSTILE)
    assert found.account.events == 1
    text, page = shown(found)
    assert "<img src=x" in page.text
    assert "{{7*7}}" in page.text
    for said in (text, page.text):
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "\\u{1b}" in said
    assert ask(analyzed[0], "select count(*) > 0 from findings") == [(True,)]
    decoded = json.loads(render(found, "json", written_at=AFTER))
    assert decoded["account"]["account_id"] == HOSTILE


def test_hostile_things_in_a_campaign(tmp_path: Path) -> None:
    """A client's name is the sender's to choose: it stands in keys, reasons and graph."""
    evil = "</text><script>alert(1)</script>&\"'\u200b"
    simulation = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80)
    lines = [
        re.sub(rb"aiohttp/3.9.1", json.dumps(evil)[1:-1].encode().replace(b"\\", b"\\\\"), message)
        for chunk in simulation.chunks(10_000)
        for message in chunk.messages()
    ]
    file, store = tmp_path / "t.ndjson", tmp_path / "s.duckdb"
    file.write_bytes(b"\n".join(lines))
    facts = simulation.accounts.to_dicts()
    analyze([file], store, SETTINGS, clock=ManualClock(AFTER), metrics=Metrics(), accounts=facts)
    [(one,)] = ask(store, "select campaign_id from campaigns")
    found = campaign(store, one)
    assert any("<script>" in key for key in found.keys)
    text, page = shown(found)
    assert "<script>" in page.text
    assert "\u200b" not in text + page.text
    shown(account(store, min(simulation.truth.planted)))


def test_an_unknown_id_is_one_line_with_the_nearest(analyzed: Analyzed, capsys: pytest.CaptureFixture[str]) -> None:
    store, planted = analyzed
    one = min(planted)
    assert run(["explain", one[:-1] + "!", "--store", str(store)], debug=False) == 66
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert one in told
    with pytest.raises(UnknownSubjectError):
        report(store, "'; drop table finding; --")


def test_an_id_that_is_both_must_say_which(store: Path) -> None:
    [(one,)] = ask(store, "select campaign_id from campaigns")
    with duckdb.connect(str(store)) as connection:
        connection.execute("insert into account_fact (account_id, updated_at) values ($id, now())", {"id": one})
    with pytest.raises(UsageError, match="campaign:"):
        report(store, one)
    assert isinstance(report(store, f"campaign:{one}"), CampaignReport)
    assert isinstance(report(store, f"account:{one}"), AccountReport)


def test_an_account_is_found_by_its_own_id_where_the_key_is(tmp_path: Path) -> None:
    privacy = {"pseudonymise": ["account_id"], "key": "0123456789abcdef"}
    settings = Settings.model_validate({"privacy": privacy})
    file, store = tmp_path / "t.ndjson", tmp_path / "s.duckdb"
    file.write_bytes(lone_event("lone"))
    analyze([file], store, settings, clock=ManualClock(AFTER), metrics=Metrics())
    found = report(store, "lone", settings)
    assert isinstance(found, AccountReport)
    assert found.account.account_id.startswith("acct~")
    assert "HMAC-SHA256" in shown(found)[1].text
    with pytest.raises(UnknownSubjectError):
        report(store, "lone")


def test_a_rule_that_changed_has_another_version() -> None:
    rule = RULES.rules["shared_prompt"]
    assert rule.version == override(rule, {}).version
    assert rule.version != override(rule, {"young_days": 31}).version


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """What serve is without a broker: the HTTP door, and a writer that takes commands."""
    settings = Settings.model_validate({"store": {"path": str(path)}, "serve": {"listen": "127.0.0.1:0"}})
    clock, metrics, stop = ManualClock(AFTER), Metrics(), threading.Event()
    with Store.open(path, settings.store, clock=clock) as store:
        state = ServeState(store, settings, clock)
        stepper = Stepper(store, RULES, settings, clock, metrics, 1)
        commands: queue.SimpleQueue[tuple[Any, Future[Any]]] = state.commands

        def write() -> None:
            while not stop.wait(0.02):
                _run_commands(commands, store, stepper, "e")

        with HttpServer(settings, metrics, state), ThreadPoolExecutor(1) as writer:
            done = writer.submit(write)
            try:
                yield
            finally:
                stop.set()
                done.result(10)


def test_a_running_serve_answers_and_writes(
    store: Path, analyzed: Analyzed, capsys: pytest.CaptureFixture[str]
) -> None:
    one = min(analyzed[1])
    before = account(store, one)
    with serving(store):
        assert run(["explain", one, "--store", str(store), "--format", "json"], debug=False) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == json.loads(render(before, "json", written_at=AFTER))
        words = ["accounts", "clear", one, "--reason", "known", "--until", "2026-02-01T00:00:00+01:00"]
        assert run([*words, "--store", str(store)], debug=False) == 0
        assert run(["accounts", "clear", "nobody", "--reason", "known", "--store", str(store)], debug=False) == 64
        assert "nothing is known of nobody" in capsys.readouterr().err
        assert run(["explain", one, "--store", str(store)], debug=False) == 0
        assert "a person cleared it (known)" in capsys.readouterr().out
    assert ask(store, "select account_id, until from clearances") == [(one, datetime(2026, 1, 31, 23, tzinfo=UTC))]
    assert ask(store, "select count(*) from suspicious_accounts") == [(79,)]


def test_the_form_follows_the_file(analyzed: Analyzed, tmp_path: Path) -> None:
    store, planted = analyzed
    for name, begins in (("a.html", b"<!DOCTYPE html>"), ("a.json", b"{"), ("a.txt", b"Account ")):
        assert run(["explain", min(planted), "--store", str(store), "--out", str(tmp_path / name)], debug=False) == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert run(["explain", min(planted), "--store", str(store), "--format", "pdf"], debug=False) == 64
