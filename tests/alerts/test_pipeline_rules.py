"""Rules about the pipeline itself: each says something when it must, nothing of its look-alike, and ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.alerts.pipeline_rules import PipelineLook, look
from pipeline.clock import ManualClock
from pipeline.config import RuleSettings, Settings
from pipeline.delivery.bodies import read_native
from pipeline.delivery.outbox import Outcome, due, mark_outcomes
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from pipeline.rules.check_meta import check_pipeline, run_pipeline_case
from pipeline.rules.load import installed, load_rules
from pipeline.rules.meta import PipelineCase, PipelineRule, Told, read_pipeline_rules
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store
from pipeline.testing import Bench
from tests.alerts.killed import settings_of

RULES: Final = load_rules(RuleSettings()).pipeline
NOON: Final = datetime(2026, 1, 12, 12, 0, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(settings=Settings()) as opened:
        yield opened


def rule_of(rule_id: str) -> PipelineRule:
    return RULES[f"pipeline.{rule_id}"]


@pytest.mark.parametrize(
    ("rule", "case"),
    [pytest.param(rule, case, id=f"{name}: {case.name}") for name, rule in RULES.items() for case in rule.meta.tests],
)
def test_a_case_of_its_file(rule: PipelineRule, case: PipelineCase) -> None:
    result = run_pipeline_case(rule, case)
    assert result.passed, result.detail


def test_a_case_that_says_something_else_fails() -> None:
    rule = rule_of("serve_behind")
    case = rule.meta.tests[0]
    for expect in ({}, {"serve": "12 minutes"}, {"other": ""}, {"serve": "", "other": ""}):
        assert not run_pipeline_case(rule, case.model_copy(update={"expect": expect})).passed


def test_the_docs_have_every_rule() -> None:
    page = (sql_dir("meta").parent.parent / "docs/alerts.md").read_text()
    for rule in RULES.values():
        assert f"| `{rule.rule_id}` | {rule.meta.severity} |" in page


def test_a_rule_that_fails_changes_nothing_about_its_alerts(bench: Bench) -> None:
    bench.store.connection.execute("drop view dead_letters")
    result = look(bench.store.connection, RULES.values(), Told(NOON, []))
    assert result.failed == {"pipeline.dead_letters_high", "pipeline.clocks_differ"}


@pytest.mark.parametrize(
    ("suffix", "before", "after", "said"),
    [
        ("sql", "select", "delete from hour; select", "exactly one SELECT"),
        ("sql", "select", "selct", "syntax"),
        ("sql", "$max_behind_s", "300", "$max_behind_s is not used"),
        ("sql", "$max_behind_s", "$max_behind_s + $more", "$more is bound and not declared"),
        ("yml", "severity: medium", "severity: loud", "severity"),
        ("yml", "default: 300", "default: 3", "outside 10"),
        ("yml", "max_behind_s: 900", "max_behind_s: 9", "outside 10"),
        ("yml", "told: {behind_s: 661}\n    expect", "told: {lag: 1}\n    expect", "lag"),
    ],
)
def test_a_pair_that_is_broken_is_named_with_what_is_wrong(
    tmp_path: Path, suffix: str, before: str, after: str, said: str
) -> None:
    base = sql_dir("meta") / "serve_behind"
    for one in ("sql", "yml"):
        (tmp_path / f"mine.{one}").write_text(base.with_suffix(f".{one}").read_text())
    (tmp_path / ".mine.sql.swp").write_text("an editor's")
    (tmp_path / ".mine.yml").write_text("hidden")
    [good] = read_pipeline_rules(tmp_path)
    assert (good.rule_id, good.problems, good.rule is None) == ("pipeline.mine", (), False)
    file = tmp_path / f"mine.{suffix}"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    [read] = read_pipeline_rules(tmp_path)
    assert read.rule is None
    assert said in "; ".join(read.problems)
    assert [one.state for one in check_pipeline(read, clock=ManualClock(NOON))] == ["failed"] * len(read.problems)


class Writer:
    """The writer of serve, of which every turn comes without an event."""

    def __init__(self, store: Store, clock: ManualClock, tmp_path: Any) -> None:
        settings = settings_of(tmp_path / "none", "http://127.0.0.1:9/")
        self.store, self.clock = store, clock
        rules = load_rules(settings.rules)
        self.stepper = Stepper(store, rules, settings, clock, Metrics(), 1, watches_itself=True)

    def nobody_works(self) -> None:
        """A partition of which no worker has spoken for an hour."""
        self.store.connection.execute(
            "insert into partition_state (source_partition, generation, applied_to, folded_to, committed, idle, "
            "last_word_at) values (0, 1, 1, 0, 1, true, $at)",
            {"at": NOON - HOUR},
        )

    def turn(self, **later: float) -> list[str]:
        """So much later: what is told then, to a receiver that takes it."""
        self.clock.advance(timedelta(**later).total_seconds())
        self.stepper.step(Intake())
        messages = due(self.store.connection, self.clock.now())
        taken = [Outcome(one.message_id, one.endpoint, "delivered", 1, self.clock.now(), 200) for one in messages]
        with self.store.transaction() as tx:
            mark_outcomes(tx, taken)
        return [f"{body.type} {body.data.rule}" for body in map(read_native, (one.body for one in messages)) if body]


@pytest.fixture
def writer(tmp_path: Any) -> Iterator[Writer]:
    clock = ManualClock(NOON)
    with Store.open(None, settings_of(tmp_path / "none", "http://127.0.0.1:9/").store, clock=clock) as store:
        yield Writer(store, clock, tmp_path)


def test_it_opens_and_ends_though_no_event_comes_and_no_rule_is_due(writer: Writer) -> None:
    """A worker dies: nothing moves event time any more. Two minutes are waited for, then it is told; once."""
    writer.nobody_works()
    assert writer.turn(seconds=30) == []  # has just begun
    assert writer.turn(minutes=1) == []  # waits
    assert writer.turn(minutes=1) == []
    assert writer.turn(minutes=1) == ["alert.opened pipeline.worker_silent"]
    assert writer.turn(minutes=1) == []
    assert writer.turn(hours=5) == []
    [row] = writer.store.connection.execute("select state, dimension, accounts, tags from alerts").fetchall()
    assert row == ("firing", "pipeline", 0, ["intake", "pipeline"])
    writer.store.connection.execute("update partition_state set last_word_at = $at", {"at": writer.clock.now()})
    assert writer.turn(minutes=1) == ["alert.resolved pipeline.worker_silent"]


def test_what_does_not_last_is_not_told(writer: Writer) -> None:
    connection = writer.store.connection
    writer.nobody_works()
    assert writer.turn(minutes=1) == []
    connection.execute("update partition_state set last_word_at = $at", {"at": writer.clock.now()})
    assert writer.turn(minutes=5) == []
    assert connection.execute("select count(*) from alerts").fetchall() == [(0,)]


def test_a_look_is_made_once_a_minute(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[datetime] = []

    def counted(connection: Any, rules: Any, told: Told, **more: Any) -> PipelineLook:
        looks.append(told.now)
        return look(connection, rules, told, **more)

    monkeypatch.setattr("pipeline.serve.step.look", counted)
    for _ in range(12):
        writer.turn(seconds=20)
    assert len(looks) == 4


def test_alerts_of_a_rule_that_is_disabled_end_and_come_back_with_it(writer: Writer) -> None:
    """As alerts of any rule do; also where no rule about the pipeline is left."""
    writer.nobody_works()
    assert writer.turn(minutes=1) == []
    assert writer.turn(minutes=2) == ["alert.opened pipeline.worker_silent"]
    writer.stepper.use(installed(RuleSettings(disabled=tuple(RULES))).active())
    assert writer.turn(minutes=1) == ["alert.resolved pipeline.worker_silent"]
    assert writer.turn(minutes=5) == []
    writer.stepper.use(load_rules(RuleSettings()))
    assert writer.turn(minutes=1) == ["alert.reopened pipeline.worker_silent"]


def test_parameters_are_those_of_the_settings(writer: Writer) -> None:
    writer.nobody_works()
    slow = {"pipeline.worker_silent": {"silent_minutes": 90}}
    writer.stepper.use(installed(RuleSettings(parameters=slow)).active())
    assert [writer.turn(minutes=10) for _ in range(3)] == [[], [], []]  # 90 minutes
    assert writer.turn(minutes=1) == []  # 91 minutes: it waits
    assert writer.turn(minutes=2) == ["alert.opened pipeline.worker_silent"]


def test_alerts_of_a_rule_that_cannot_be_read_stay_as_they_are(writer: Writer) -> None:
    writer.nobody_works()
    assert writer.turn(minutes=1) == []
    assert writer.turn(minutes=2) == ["alert.opened pipeline.worker_silent"]
    wrong = {"pipeline.worker_silent": {"silent_minutes": 0}}
    writer.stepper.use(installed(RuleSettings(parameters=wrong)).active())
    assert "pipeline.worker_silent" not in writer.stepper.rules.pipeline
    assert writer.turn(hours=3) == []
    writer.stepper.use(load_rules(RuleSettings()))
    writer.store.connection.execute("update partition_state set last_word_at = $at", {"at": writer.clock.now()})
    assert writer.turn(minutes=1) == ["alert.resolved pipeline.worker_silent"]


def test_files_that_stay_broken_are_told_of_until_they_are_mended(writer: Writer) -> None:
    writer.stepper.broken = {"rule:mine": ("mine.sql: missing", "mine.yml: title")}
    assert writer.turn(minutes=1) == []
    assert writer.turn(minutes=4) == []
    assert writer.turn(minutes=1) == ["alert.opened pipeline.rule_broken"]
    [(said,)] = writer.store.connection.execute("select summary from alerts").fetchall()
    assert said == "Rule mine does not run: mine.sql: missing; mine.yml: title"
    writer.stepper.broken = {}
    assert writer.turn(minutes=1) == ["alert.resolved pipeline.rule_broken"]


def test_a_file_of_receivers_that_is_broken_is_told_to_those_of_before(writer: Writer) -> None:
    writer.stepper.broken = {"receivers": ("endpoints.toml: no TOML",)}
    assert writer.turn(minutes=1) == []
    assert writer.turn(minutes=1) == ["alert.opened pipeline.receivers_broken"]
    writer.stepper.broken = {}
    assert writer.turn(minutes=1) == ["alert.resolved pipeline.receivers_broken"]
