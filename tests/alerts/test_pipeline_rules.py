"""Rules about the pipeline itself: each says something when it must, nothing of its look-alike, and ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from pipeline.alerts.pipeline_rules import PipelineLook, Told, load_pipeline_rules, look
from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.delivery.bodies import read_native
from pipeline.delivery.outbox import Outcome, due, mark_outcomes
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from pipeline.rules.load import load_rules
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store
from pipeline.testing import Bench
from tests.alerts.killed import settings_of

RULES: Final = load_pipeline_rules()
NOON: Final = datetime(2026, 1, 12, 12, 0, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(settings=Settings()) as opened:
        yield opened


def found(bench: Bench, rule: str, now: datetime = NOON, **told: Any) -> dict[str, str]:
    """What a rule says now: the sentence, by group key."""
    result = look(bench.store.connection, RULES, Told(now, **{"rules": ["mine"], **told}))
    assert len(result.looked) == len(RULES)
    return {one.group_key: one.summary for one in result.subjects.values() if one.rule_id == f"pipeline.{rule}"}


def events(bench: Bench, *hours: datetime, count: int = 300) -> None:
    """So many events in each of these hours, evenly."""
    step = timedelta(seconds=3600 / count)
    bench.add_events(
        [
            {"account_id": f"a{number % 7}", "timestamp": hour + number * step}
            for hour in sorted(hours)
            for number in range(count)
        ]
    )


def insert(bench: Bench, table: str, **values: object) -> None:
    names = ", ".join(values)
    marks = ", ".join(f"${name}" for name in values)
    bench.store.connection.execute(f"insert into {table} ({names}) values ({marks})", values)


def dead(bench: Bench, count: int, when: datetime, reason: str = "not_json") -> None:
    for number in range(count):
        insert(
            bench,
            "dead_letter",
            source_topic="api.requests",
            source_partition=0,
            source_offset=number,
            item=-1,
            reason=reason,
            seen_at=when,
            past_epoch=False,
        )


def partition(bench: Bench, number: int, *, spoke: datetime, watermark: datetime = NOON) -> None:
    insert(
        bench,
        "partition_state",
        source_partition=number,
        generation=1,
        applied_to=1,
        folded_to=0,
        committed=1,
        watermark=watermark,
        idle=False,
        last_word_at=spoke,
    )


def rule_state(bench: Bench, rule_id: str, status: str, failures: int) -> None:
    insert(
        bench,
        "rule_state",
        rule_id=rule_id,
        status=status,
        failures=failures,
        last_error="Out of Range",
        matches=0,
        last_run_at=NOON,
    )


def message(bench: Bench, state: str, created: datetime, *, delivered: datetime | None = None, to: str = "soc") -> None:
    insert(
        bench,
        "outbox",
        message_id=f"msg_{created:%d%H%M}",
        alert_id="alt_1",
        seq=0,
        endpoint=to,
        body="{}",
        created_at=created,
        state=state,
        type="alert.opened",
        attempts=1,
        next_attempt_at=created,
        delivered_at=delivered,
        last_status=200 if delivered else 500,
    )


def test_nothing_is_said_of_an_empty_store(bench: Bench) -> None:
    result = look(bench.store.connection, RULES, Told(NOON, []))
    assert (dict(result.subjects), len(result.looked)) == ({}, len(RULES))


def test_a_source_that_always_sends_went_silent(bench: Bench) -> None:
    events(bench, NOON - 2 * DAY, NOON - 2 * DAY - HOUR, NOON - DAY, NOON - DAY - HOUR, NOON - HOUR)
    last = NOON - HOUR + timedelta(seconds=3588)
    assert found(bench, "source_silent", last + 15 * MINUTE) == {}
    [said] = found(bench, "source_silent", last + 16 * MINUTE).values()
    assert said.startswith("No event has come since 2026-01-12 11:59 UTC (16 minutes).")
    assert found(bench, "source_silent", last + 16 * MINUTE + DAY)  # and stays so
    events(bench, NOON, count=60)
    assert found(bench, "source_silent", NOON + 61 * MINUTE) == {}


def test_a_night_is_no_silence(bench: Bench) -> None:
    """Nobody sends at this hour on other days either."""
    events(bench, *(NOON - days * DAY - back * HOUR for days in (0, 1, 2) for back in (7, 6)))
    assert found(bench, "source_silent", NOON) == {}


def test_a_store_of_one_morning_knows_no_usual_hour(bench: Bench) -> None:
    events(bench, NOON - 3 * HOUR, NOON - 2 * HOUR)
    assert found(bench, "source_silent") == {}


def test_a_file_of_the_past_is_no_silence(bench: Bench) -> None:
    events(bench, NOON - 30 * DAY, NOON - 29 * DAY)
    assert found(bench, "source_silent") == {}


def test_no_worker_speaks_of_a_partition(bench: Bench) -> None:
    partition(bench, 0, spoke=NOON - MINUTE)
    partition(bench, 1, spoke=NOON - 9 * MINUTE)
    assert found(bench, "worker_silent") == {}
    said = found(bench, "worker_silent", NOON + 2 * MINUTE)
    assert said == {"workers": "No worker has spoken of 1 of 2 partitions for 10 minutes or more: 1."}


def test_more_is_refused_than_usual(bench: Bench) -> None:
    events(bench, NOON - DAY, NOON - HOUR, count=1000)
    dead(bench, 49, NOON - 5 * MINUTE)
    assert found(bench, "dead_letters_high") == {}
    dead(bench, 1, NOON - 4 * MINUTE)
    said = found(bench, "dead_letters_high")["dead_letters"]
    assert said == ("50 messages were refused in the last hour, 4.8 % of all, usually 0.00 %; most often: not_json.")
    assert found(bench, "dead_letters_high", NOON + HOUR) == {}


def test_as_much_is_refused_as_always(bench: Bench) -> None:
    events(bench, NOON - DAY, NOON - HOUR, count=1000)
    dead(bench, 40, NOON - DAY)
    dead(bench, 50, NOON - 5 * MINUTE)
    assert found(bench, "dead_letters_high") == {}


def test_dead_letters_of_much_traffic_are_few(bench: Bench) -> None:
    events(bench, NOON - HOUR, count=6000)
    dead(bench, 55, NOON - 5 * MINUTE)
    assert found(bench, "dead_letters_high") == {}


def test_a_gateways_clock_is_ahead(bench: Bench) -> None:
    dead(bench, 30, NOON - MINUTE, "timestamp_too_old")
    dead(bench, 19, NOON - MINUTE, "timestamp_in_future")
    assert found(bench, "clocks_differ") == {}
    dead(bench, 1, NOON - MINUTE, "timestamp_in_future")
    assert set(found(bench, "clocks_differ")) == {"events"}
    assert found(bench, "clocks_differ", NOON + 15 * MINUTE) == {}


def test_this_clock_is_behind(bench: Bench) -> None:
    partition(bench, 0, spoke=NOON, watermark=NOON + 4 * MINUTE)
    assert found(bench, "clocks_differ") == {}
    said = found(bench, "clocks_differ", NOON - 8 * MINUTE)
    assert said == {"watermark": "Event time is 12 minutes ahead of this clock in 1 partitions."}


def test_the_writer_is_behind(bench: Bench) -> None:
    assert found(bench, "serve_behind", behind_s=299.0) == {}
    said = found(bench, "serve_behind", behind_s=661.0)
    assert said == {"serve": "What serve applied last had waited for 11 minutes."}


def test_a_rule_does_not_work(bench: Bench) -> None:
    rule_state(bench, "mine", "failed", 2)
    rule_state(bench, "gone", "off", 5)  # runs no longer
    assert found(bench, "rule_off") == {}
    rule_state(bench, "yours", "failed", 3)
    rule_state(bench, "theirs", "off", 5)
    assert found(bench, "rule_off", rules=["mine", "yours", "theirs", "other"]) == {
        "rule:yours": "Rule yours failed 3 times in a row: Out of Range",
        "rule:theirs": "Rule theirs is switched off for a day: Out of Range",
    }


@pytest.mark.parametrize(
    ("accounts", "strength", "says"), [(250, 0.5, 1), (199, 0.5, 0), (250, 0.25, 0)], ids=["many", "fewer", "weak"]
)
def test_a_rule_fires_for_too_many(bench: Bench, accounts: int, strength: float, says: int) -> None:
    bench.store.connection.execute(
        "insert into signal by name select 'mine' as rule_id, 'unscored' as evidence, 'account' as dimension, "
        "'a' || number as entity_id, 'a' || number as account_id, 'k' as group_key, $strength as strength, "
        "'r' as reason, $now - interval 1 day as window_start, $now as window_end, $now - interval 1 hour as "
        "first_seen, $now as last_seen from range($accounts) as accounts(number)",
        {"strength": strength, "now": NOON, "accounts": accounts},
    )
    bench.store.connection.execute("update naming_state set tests = 1000, updated_at = $now", {"now": NOON})
    if not bench.sql("select * from naming").height:
        insert(
            bench,
            "naming_state",
            tests=1000,
            heavy=0,
            false_discovery_rate=0.01,
            named=0,
            named_heavy=0,
            knowledge="full",
            reference="r",
            updated_at=NOON,
        )
    assert len(found(bench, "rule_everywhere")) == says


def test_a_receiver_gets_nothing_any_more(bench: Bench) -> None:
    message(bench, "delivered", NOON - DAY, delivered=NOON - DAY)
    message(bench, "pending", NOON - MINUTE)
    assert found(bench, "webhook_given_up") == {}
    message(bench, "failed", NOON - HOUR)
    assert found(bench, "webhook_given_up") == {
        "endpoint:soc": "1 messages for soc were given up; the last answer: 500."
    }
    message(bench, "delivered", NOON - 2 * MINUTE, delivered=NOON - MINUTE)
    assert found(bench, "webhook_given_up") == {}


def test_one_that_said_gone_is_told(bench: Bench) -> None:
    message(bench, "disabled", NOON - HOUR)
    [said] = found(bench, "webhook_given_up").values()
    assert "(it said 410 Gone)" in said


def test_every_rule_has_a_case() -> None:
    text = (sql_dir("meta").parent.parent / "tests/alerts/test_pipeline_rules.py").read_text()
    assert [rule.rule_id for rule in RULES if f'"{rule.rule_id.removeprefix("pipeline.")}"' not in text] == []


def test_the_docs_have_every_rule() -> None:
    page = (sql_dir("meta").parent.parent / "docs/alerts.md").read_text()
    for rule in RULES:
        assert f"| `{rule.rule_id}` | {rule.meta.severity} |" in page


def test_a_rule_that_fails_changes_nothing_about_its_alerts(bench: Bench) -> None:
    bench.store.connection.execute("drop view dead_letters")
    result = look(bench.store.connection, RULES, Told(NOON, []))
    failed = {rule.rule_id for rule in RULES} - result.looked
    assert failed == {"pipeline.dead_letters_high", "pipeline.clocks_differ"}


class Writer:
    """The writer of serve, of which every turn comes without an event."""

    def __init__(self, store: Store, clock: ManualClock, tmp_path: Any) -> None:
        settings = settings_of(tmp_path / "none", "http://127.0.0.1:9/")
        self.store, self.clock = store, clock
        rules = load_rules(settings.rules)
        self.stepper = Stepper(store, rules, settings, clock, Metrics(), 1, load_pipeline_rules())

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
    writer.store.connection.execute(
        "insert into partition_state (source_partition, generation, applied_to, folded_to, committed, idle, "
        "last_word_at) values (0, 1, 1, 0, 1, true, $at)",
        {"at": NOON - HOUR},
    )
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
    connection.execute(
        "insert into partition_state (source_partition, generation, applied_to, folded_to, committed, idle, "
        "last_word_at) values (0, 1, 1, 0, 1, true, $at)",
        {"at": NOON - HOUR},
    )
    assert writer.turn(minutes=1) == []
    connection.execute("update partition_state set last_word_at = $at", {"at": writer.clock.now()})
    assert writer.turn(minutes=5) == []
    assert connection.execute("select count(*) from alerts").fetchall() == [(0,)]


def test_a_look_is_made_once_a_minute(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[datetime] = []

    def counted(connection: Any, rules: Any, told: Told) -> PipelineLook:
        looks.append(told.now)
        return look(connection, rules, told)

    monkeypatch.setattr("pipeline.serve.step.look", counted)
    for _ in range(12):
        writer.turn(seconds=20)
    assert len(looks) == 4
