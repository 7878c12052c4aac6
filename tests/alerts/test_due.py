"""Alerts that are looked at one by one are those that may change; the others would have stayed as they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.changes import Changes
from pipeline.alerts.due import due_subjects
from pipeline.alerts.lifecycle import _bring
from pipeline.alerts.subjects import current_subjects
from pipeline.alerts.tables import last_alerts, standing_alerts
from pipeline.rules import RuleSet
from tests.alerts.made import RULE, START, Day, match_rules
from tests.detect.world import Tx

GROUPS = ("client:a", "client:b|c")
CAMPAIGNS = ("cmp_1", "cmp_2")
Step = tuple[str, str, int, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("match"), st.sampled_from(GROUPS), st.integers(0, 3), st.integers(0, 90)),
        st.tuples(st.just("campaign"), st.sampled_from(CAMPAIGNS), st.sampled_from((1, 3, 100)), st.integers(0, 90)),
        st.tuples(st.just("over"), st.sampled_from(CAMPAIGNS), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from((1, 4, 20, 70, 1600)), st.just(0)),
        st.tuples(st.just("look"), st.just(""), st.just(0), st.just(0)),
    ),
    max_size=12,
)


def do(day: Day, step: Step) -> None:
    what, who, number, minutes_ago = step
    seen = day.now - timedelta(minutes=minutes_ago)
    if what == "match" and number:
        # Members of a campaign too: what they do is told within it.
        day.matches([f"cmp_1_{member}" for member in range(number)], who, seen=seen)
    elif what == "match":
        day.tx.execute("delete from signal where group_key = $group", {"group": who})
    elif what == "campaign":
        day.campaign(number, who, seen=seen)
    elif what == "over":
        day.over(who)
    elif what == "wait":
        day.advance(minutes=number)


def assert_none_is_left_out(day: Day) -> int:
    """What would become of all subjects is what becomes of those that are due; how many are."""
    told = [key for (key,) in day.ask("select distinct subject from alert")]
    every = {*told, *current_subjects(day.tx, day.rules)}
    due = due_subjects(day.tx, day.rules, day.now)
    made = []
    for keys in (every, due):
        changes = Changes(day.now)
        subjects = current_subjects(day.tx, day.rules, keys)
        _bring(changes, subjects, standing_alerts(day.tx, keys), last_alerts(day.tx, keys), day.now)
        made.append(
            (
                sorted(changes.alerts, key=lambda alert: alert.alert_id),
                sorted((row.change.message_id, row.body) for row in changes.events),
                sorted(changes.forgotten),
            )
        )
    assert made[0] == made[1]
    return len(due)


TX = Tx()  # making one takes most of the time


@settings(max_examples=10, deadline=None)
@given(steps, st.sampled_from((0, 10)))
def test_who_is_not_due_would_have_stayed_as_it_is(done: list[Step], pending_minutes: int) -> None:
    for table in ("signal", "campaign", "campaign_member", "finding", "alert", "alert_event", "outbox"):
        TX.execute(f"delete from {table}")
    day = Day(match_rules(pending_for=timedelta(minutes=pending_minutes)), tx=TX)
    for step in [*done, ("look", "", 0, 0)]:
        do(day, step)
        if step[0] == "look":
            assert_none_is_left_out(day)
            day.look()


def standing(**meta: object) -> Day:
    """Fifty groups and a campaign that are told of, a minute later."""
    day = Day(match_rules(**meta))
    for number in range(50):
        day.matches([f"a{number}", f"b{number}"], f"client:{number}")
    day.campaign(5)
    assert assert_none_is_left_out(day) == 51
    day.look()
    day.advance(minutes=1)
    return day


def test_what_stands_as_told_is_not_due() -> None:
    day = standing()
    assert assert_none_is_left_out(day) == 0
    day.advance(hours=30)
    assert assert_none_is_left_out(day) == 51
    day.look()
    assert day.states().count("firing") == 0
    assert assert_none_is_left_out(day) == 0
    day.matches(["a7", "b7"], "client:7")
    assert assert_none_is_left_out(day) == 1  # it goes on


@pytest.mark.parametrize(
    "changed",
    [
        lambda day: day.matches(["a7", "b7", "c7"], "client:7", seen=START),
        lambda day: day.matches(["a7", "b7"], "client:7", seen=day.now),
        lambda day: day.tx.execute("update signal set strength = 0.9 where group_key = 'client:7'"),
        lambda day: day.tx.execute("delete from signal where group_key = 'client:7'"),
        lambda day: (
            day.tx.execute("update campaign_member set account_id = 'a7' where account_id = 'cmp_1_1'")
            and day.tx.execute("update campaign_member set account_id = 'b7' where account_id = 'cmp_1_2'")
        ),
    ],
    ids=["one more", "seen again", "stronger", "gone", "within a campaign"],
)
def test_one_that_changed_is_due_alone(changed: Callable[[Day], object]) -> None:
    day = standing()
    changed(day)
    assert assert_none_is_left_out(day) == 1
    assert due_subjects(day.tx, day.rules, day.now) == [f"{RULE}|client:7"]


def test_who_became_more_severe_or_waits_is_due_and_who_cannot_be_read_is_not() -> None:
    day = standing()
    day.rules = match_rules(severity="critical")
    assert assert_none_is_left_out(day) == 50
    day.rules = RuleSet({}, missing=frozenset({RULE}))
    assert due_subjects(day.tx, day.rules, day.now) == []
    waiting = standing(pending_for=timedelta(hours=1))
    assert assert_none_is_left_out(waiting) == 50
